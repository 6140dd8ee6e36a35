/* A host with unusual stacks, threads or modules, by its KIND. Usage: shapes DUMP_DIR - KIND [ARGUMENT], see crash.h */
#include "crash.h"
#include <dlfcn.h>
#include <sys/prctl.h>
#include <ucontext.h>

static pthread_barrier_t barrier;

static pthread_t start(void *(*body)(void *), void *argument, size_t stack) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    if (pthread_create(&thread, &attributes, body, argument))
        exit(2);
    pthread_attr_destroy(&attributes);
    return thread;
}

static void for_ever(void) {
    for (;;)
        pause();
}

/* The crash is below this many bytes of stack. */
NOINLINE static char deep(size_t bytes) {
    volatile char frame[64 * 1024];
    memset((char *)frame, 0x5a, sizeof frame);
    if (bytes <= sizeof frame)
        crash_segv();
    else
        frame[0] = deep(bytes - sizeof frame);
    return frame[0];
}

static void *deep_thread(void *argument) {
    ready();
    deep((size_t)64 << 20);
    return argument;
}

/* Calls a function with the stack pointer 1 MiB above the beginning of 512 MiB of heap. */
static void on_heap(void (*function)(void)) {
    static __thread ucontext_t here, there;
    size_t size = (size_t)512 << 20, below = 1 << 20;
    char *heap = malloc(size);
    if (!heap)
        exit(2);
    /* What lies above the stack pointer is really there. */
    memset(heap, 0xa5, 16 << 20);
    getcontext(&there);
    there.uc_stack.ss_sp = heap;
    there.uc_stack.ss_size = below;
    there.uc_link = &here;
    makecontext(&there, function, 0);
    swapcontext(&here, &there);
}

static void wait_on_heap(void) {
    pthread_barrier_wait(&barrier);
    for_ever();
}

static void *heap_thread(void *argument) {
    on_heap(wait_on_heap);
    return argument;
}

/* Thread n is named "worker-00n"; the last one crashes. */
static int last;
static void *named_thread(void *number) {
    char name[16];
    int n = (int)(size_t)number;
    snprintf(name, sizeof name, "worker-%03d", n);
    pthread_setname_np(pthread_self(), name);
    pthread_barrier_wait(&barrier);
    if (n == last) {
        ready();
        wait_for_line();
        crash_segv();
    }
    for_ever();
    return NULL;
}

/* A thread that cannot be stopped: one in vfork(2) waits for its child, which waits for that thread's end. */
static void *unstoppable_thread(void *told) {
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(*(int *)told, "", 1) != 1)
            _exit(2);
        for_ever();
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    const size_t stack = 1 << 20;
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    if (!config)
        return 2;
    if (!strcmp(kind, "unstoppable"))
        check(cm_config_set_deadline_ms(config, (uint32_t)atoi(argv[4])));
    check(cm_install_with(config));
    cm_config_free(config);

    if (!strcmp(kind, "deep-stack")) {
        pthread_join(start(deep_thread, NULL, (size_t)80 << 20), NULL);
    } else if (!strcmp(kind, "heap-stack")) {
        ready();
        on_heap(crash_segv);
    } else if (!strcmp(kind, "heap-stacks")) {
        /* Three threads wait on such stacks, and this one crashes. */
        pthread_barrier_init(&barrier, NULL, 4);
        for (int i = 0; i < 3; i++)
            start(heap_thread, NULL, stack);
        pthread_barrier_wait(&barrier);
        ready();
        crash_segv();
    } else if (!strcmp(kind, "named-threads")) {
        last = atoi(argv[4]) - 1;
        pthread_barrier_init(&barrier, NULL, (unsigned)last + 2);
        for (int i = 0; i <= last; i++)
            start(named_thread, (void *)(size_t)i, stack);
        pthread_barrier_wait(&barrier);
        for_ever();
    } else if (!strcmp(kind, "unstoppable")) {
        int told[2];
        char byte;
        if (pipe(told))
            return 2;
        start(unstoppable_thread, &told[1], stack);
        if (read(told[0], &byte, 1) != 1)
            return 2;
        ready();
        wait_for_line();
        crash_segv();
    } else if (!strcmp(kind, "dlopen")) {
        if (!dlopen(argv[4], RTLD_NOW)) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
        ready();
        wait_for_line();
        crash_segv();
    }
    return 2;
}
