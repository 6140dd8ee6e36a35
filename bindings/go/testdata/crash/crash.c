#define _GNU_SOURCE
#include "crash.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// For the tests to find in the dump. Volatile, so that it is there.
#define MARK_STACK volatile char mark[] = "on the stack of the crashing thread"

static void print_thread(void)
{
    dprintf(STDOUT_FILENO, "thread %d\n", (int)gettid());
}

void crash_segv(void)
{
    MARK_STACK;

    print_thread();
    *(volatile char *)0xdead = mark[0];
}

static void *run_crash_segv(void *unused)
{
    crash_segv();
    return unused;
}

void crash_segv_in_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run_crash_segv, NULL) == 0)
        pthread_join(thread, NULL);
}

static int recurse(volatile char *caller)
{
    MARK_STACK;

    // Volatile, and after the call: neither the frame nor the call can be left out.
    return recurse(mark) + mark[0] + *caller;
}

void crash_overflow(void)
{
    volatile char first = 0;

    print_thread();
    recurse(&first);
}

void crash_abort(void)
{
    MARK_STACK;

    print_thread();
    abort();
}

int crash_called_back(int signal, const void *siginfo, const void *context, void *report)
{
    (void)siginfo, (void)context;
    static const char called[] = "called back\n";

    if (signal == SIGSEGV && write(STDOUT_FILENO, called, sizeof called - 1) < 0)
        abort();
    return report ? 0 : 1;
}
