/* What the hosts for tests of one topic share: words to the test, and ways to crash. Include it first.
 * Usage of such a host: host DUMP_DIR - KIND [ARGUMENT]
 */
#ifndef CRASH_H
#define CRASH_H

#define _GNU_SOURCE
#include <crash_monitor.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))

/* Instructions that nobody may execute, and that stop for a debugger. */
#if defined(__x86_64__)
#define FORBIDDEN "ud2"
#define BREAKPOINT "int3"
#elif defined(__aarch64__)
#define FORBIDDEN "udf #0"
#define BREAKPOINT "brk #0"
#endif

/* Prints a line at once. */
MAYBE_UNUSED __attribute__((format(printf, 1, 2)))
static void say(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* Says which process and thread is about to crash. */
MAYBE_UNUSED static void ready(void) { say("ready %d %ld", (int)getpid(), syscall(SYS_gettid)); }

/* Prints the status and the message of a call that failed, and exits with 3. */
MAYBE_UNUSED static void check(cm_status status) {
    if (status == CM_OK)
        return;
    say("status %d\nmessage %s", (int)status, cm_last_error());
    exit(3);
}

MAYBE_UNUSED static void wait_for_line(void) {
    int c;
    while ((c = getchar()) != '\n' && c != EOF)
        ;
}

NOINLINE MAYBE_UNUSED static void crash_segv(void) { *(volatile int *)0xdead000 = 1; }

NOINLINE MAYBE_UNUSED static void crash_bus(void) {
    /* Beyond the end of a file is no memory (mmap(2)). */
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(tmpfile()), 0);
    say("address %p", (void *)(page + 8));
    *(volatile char *)(page + 8) = 1;
}

NOINLINE MAYBE_UNUSED static void crash_fpe(volatile int zero) {
    volatile int quotient = 7 / zero;
    (void)quotient;
#if defined(__aarch64__)
    raise(SIGFPE); /* There it is 0, without a trap. */
#endif
}

NOINLINE MAYBE_UNUSED static int overflow(volatile int depth) {
    volatile char frame[256];
    frame[0] = (char)depth;
    return overflow(depth + 1) + frame[0];
}

MAYBE_UNUSED static void crash(const char *how) {
    if (!strcmp(how, "segv"))
        crash_segv();
    else if (!strcmp(how, "bus"))
        crash_bus();
    else if (!strcmp(how, "fpe"))
        crash_fpe(0);
    else if (!strcmp(how, "ill"))
        __asm__ volatile(FORBIDDEN);
    else if (!strcmp(how, "trap"))
        __asm__ volatile(BREAKPOINT);
    else if (!strcmp(how, "abort"))
        abort();
    else if (!strcmp(how, "overflow"))
        overflow(0);
    else if (!strcmp(how, "sent"))
        kill(getpid(), SIGSEGV);
    say("survived %s", how);
    exit(4);
}

/* Crashes in a thread of its own, which has an alternate stack. */
MAYBE_UNUSED static void *crash_in_thread(void *how) {
    check(cm_thread_init());
    ready();
    crash(how);
    return NULL;
}

MAYBE_UNUSED static void run_thread(void *(*body)(void *), const char *data) {
    pthread_t thread;
    pthread_create(&thread, NULL, body, (void *)data);
    pthread_join(thread, NULL);
}

#endif
