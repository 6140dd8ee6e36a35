/* How `failing_malloc.c` is told to fail. */
#ifndef FAILING_MALLOC_H
#define FAILING_MALLOC_H

#include <stddef.h>

extern struct failing {
    /* Which allocation fails, counted from 1; 0 for none. */
    unsigned at;
    /* Whether all after it fail too. */
    int from_then_on;
    /* How many there have been since. */
    unsigned calls;
} failing;

#endif
