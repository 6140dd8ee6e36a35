/* What the C hosts of the tests have in common. Usage of each: HOST DUMP_DIR SOCKET KIND [ARGUMENTS], where SOCKET "-"
 * means NULL. Before it ends a host prints "ready PID TID", the id of the thread that is about to crash. */
#ifndef HOST_H
#define HOST_H

#include <crash_monitor.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static inline void ready(void) {
    printf("ready %d %ld\n", (int)getpid(), syscall(SYS_gettid));
    fflush(stdout);
}

/* Prints the status and, where it is no success, the message; exits with 3 then. */
static inline void check(cm_status status) {
    if (status == CM_OK)
        return;
    printf("status %d\nmessage %s\n", (int)status, cm_last_error());
    exit(3);
}

static inline void wait_for_line(void) {
    int c;
    while ((c = getchar()) != '\n' && c != EOF)
        ;
}

__attribute__((unused)) NOINLINE static void crash_segv(void) { *(volatile int *)0xdead000 = 1; }

#endif
