/*
 Readies every thread for crashes: an alternate signal stack, so that a stack overflow in any thread of the program can be
 reported, and unblocked crash signals, whatever mask it inherits.

 Include this file in exactly one source file (C99 or C++11 and later) of a program that links with crash-monitor, on
 Linux. It defines `pthread_create`, which calls the real one and has each new thread call `cm_thread_init` before its
 start routine. std::thread and the libraries of the program create their threads through it as well. Included in two
 source files, the link fails with a duplicate `pthread_create`.

 Threads may be created before `cm_install`, after it, or without it. For the caller pthread_create(3) is what it was:
 attributes, return codes, errno, cancellation, pthread_exit(3). A thread that gets no alternate stack, for want of
 memory, runs without one. Two failures are this file's own: EAGAIN where the allocation below fails, ENOSYS where
 there is no other `pthread_create` to call.

 Cost of a thread: one allocation, of two pointers, freed before its start routine runs; and one mapping of 64 KiB, the
 kernel's signal frame and a guard page, of address space alone as long as no signal comes, unmapped when it ends.

 Threads that were not created by pthread_create(3) call `cm_thread_init` themselves: the first thread, and those made
 by thrd_create(3) or clone(2). Not for
 - fully static programs (`-static`, `-static-pie`), which have no second `pthread_create`: all calls fail with ENOSYS;
 - programs with a sanitizer inside the executable (clang's default), whose own `pthread_create` this one would replace.
 */
#ifndef CRASH_MONITOR_THREADS_H
#define CRASH_MONITOR_THREADS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for RTLD_NEXT */
#endif

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "crash_monitor.h"

#ifndef RTLD_NEXT
#error "include crash_monitor_threads.h before any system header, or compile with -D_GNU_SOURCE"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a new thread is to do: a copy on the heap, since the creator may return before the thread begins. */
struct cm_threads_job {
    void *(*start)(void *);
    void *argument;
};

static int (*cm_threads_real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static void cm_threads_resolve(void) {
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    /* Copied: ISO C casts no object pointer to a function pointer. */
    memcpy(&cm_threads_real, &symbol, sizeof symbol);
}

/* Where a new thread begins. It leaves nothing to clean up: `start` need not return. */
static void *cm_threads_start(void *copy) {
    struct cm_threads_job job;
    int saved_errno = errno;
    memcpy(&job, copy, sizeof job);
    free(copy);
    (void)cm_thread_init();
    errno = saved_errno;
    return job.start(job.argument);
}

/* Visible also in a program compiled with -fvisibility=hidden: its libraries are to find it. */
__attribute__((visibility("default")))
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct cm_threads_job job = {start, argument};
    int saved_errno = errno;
    int error = EAGAIN;
    void *copy = malloc(sizeof job);
    if (copy != NULL) {
        memcpy(copy, &job, sizeof job);
        pthread_once(&once, cm_threads_resolve);
        error = cm_threads_real != NULL ? cm_threads_real(thread, attributes, cm_threads_start, copy) : ENOSYS;
        if (error != 0)
            free(copy); /* The thread has not begun and will not. */
    }
    errno = saved_errno;
    return error;
}

#ifdef __cplusplus
}
#endif

#endif /* CRASH_MONITOR_THREADS_H */
