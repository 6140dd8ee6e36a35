/* What the hosts inside a language's runtime have in common: the runtime's own handler for SIGSEGV is there first, and is
 * counted here; then comes the library, which lets it look at a fault first. See also crash.h. */
#ifndef RUNTIME_H
#define RUNTIME_H

#include "crash.h"

static struct sigaction runtimes_own;
static int faults;

static void count(int signal, siginfo_t *info, void *context) {
    __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
    runtimes_own.sa_sigaction(signal, info, context);
}

static void install_behind_runtime(const char *dump_dir) {
    sigaction(SIGSEGV, NULL, &runtimes_own);
    if (runtimes_own.sa_handler != SIG_DFL) {
        struct sigaction counted = runtimes_own;
        counted.sa_sigaction = count;
        sigaction(SIGSEGV, &counted, NULL);
    }
    cm_config *config;
    check(cm_config_new(dump_dir, NULL, &config));
    check(cm_config_set_strategy(config, CM_STRATEGY_PREVIOUS_FIRST));
    check(cm_install_with(config));
    cm_config_free(config);
}

/* Writes where certainly nobody can: the address of crash_segv may be in a runtime's own memory, such as the heap (brk(2))
 * of a program that is not position-independent. */
NOINLINE static void crash_in_own_page(void) {
    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        exit(5);
    say("address %p", (void *)page);
    *(volatile char *)page = 1;
}

/* Prints how many faults the runtime's handler was given, and whether the process is still armed. */
static void report(void) {
    say("faults %d", faults);
    say("armed %d", cm_is_armed() == CM_OK);
}

#endif
