/* A host whose calls `crash-monitor show` is to name. Usage: calls DUMP_DIR - KIND
 * A comment at the end of a line says which kind's stack has that line.
 */
#define _GNU_SOURCE
#include <crash_monitor.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

typedef int function(int);

NOINLINE static int inner(int n) {
    *(volatile int *)0xdead0000 = n; /* segv: inner */
    return n;
}

NOINLINE static int middle(int n) {
    return inner(n + 1) + 1; /* segv: middle */
}

NOINLINE static int outer(int n) {
    return middle(n + 1) + 1; /* segv: outer */
}

/* A frame of so many bytes. */
#ifndef LARGE
#define LARGE (400 * 1024)
#endif

NOINLINE static int large(int n) {
    volatile char frame[LARGE];
    memset((char *)frame, n, sizeof frame);
    return outer(n) + frame[n]; /* large: large */
}

static void *large_thread(void *unused) {
    large(1); /* large-thread: thread */
    return unused;
}

NOINLINE static int recurse(int n) {
    volatile char frame[32];
    frame[n % 32] = (char)n;
    return recurse(n + 1) + frame[0];
}

NOINLINE static int odd(int n);

NOINLINE static int even(int n) {
    volatile char frame[32];
    frame[n % 32] = (char)n;
    return odd(n + 1) ^ frame[0]; /* Not as in recurse, or the compiler makes one function of them. */
}

NOINLINE static int odd(int n) {
    volatile char frame[32];
    frame[n % 32] = (char)n;
    return even(n + 1) - frame[0]; /* Likewise. */
}

static inline int inlined(int *pointer) {
    return *(volatile int *)pointer; /* inline: inlined */
}

NOINLINE static int reader(int *pointer) {
    return inlined(pointer) + 1; /* inline: reader */
}

NOINLINE static int caller(function *called) {
    return called(1) + 1; /* null: caller */
}

static void *wait_for_ever(void *unused) {
    for (;;)
        pause();
    return unused;
}

int main(int argc, char **argv) {
    function *volatile nothing = NULL;
    int *volatile not_canonical = (int *)0x4141414141414141;
    const char *kind = argc > 3 ? argv[3] : "";
    pthread_t thread;
    if (cm_install(argv[1], NULL) != CM_OK) {
        printf("message %s\n", cm_last_error());
        return 3;
    }
    pthread_create(&thread, NULL, wait_for_ever, NULL);
    pthread_setname_np(thread, "waiting");
    if (!strcmp(kind, "segv"))
        return outer(argc); /* segv: main */
    if (!strcmp(kind, "large"))
        return large(argc); /* large: main */
    if (!strcmp(kind, "large-thread")) {
        pthread_create(&thread, NULL, large_thread, NULL);
        pthread_join(thread, NULL);
    }
    if (!strcmp(kind, "overflow"))
        return recurse(argc);
    if (!strcmp(kind, "mutual"))
        return even(argc);
    if (!strcmp(kind, "inline"))
        return reader((int *)(long)argc);
    if (!strcmp(kind, "null"))
        return caller(nothing);
    if (!strcmp(kind, "not-canonical"))
        return reader(not_canonical);
    if (!strcmp(kind, "sent")) {
        /* The other thread may be the one to take it (signal(7)). */
        kill(getpid(), SIGSEGV);
        wait_for_ever(NULL);
    }
    if (!strcmp(kind, "library")) {
        void *library = dlopen(argv[4], RTLD_NOW);
        void *symbol = library ? dlsym(library, "in_library") : NULL;
        function *called;
        memcpy(&called, &symbol, sizeof symbol);
        return caller(called); /* library: main */
    }
    if (!strcmp(kind, "abort"))
        abort(); /* abort: main */
    return 4;
}
