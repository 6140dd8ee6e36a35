/* A host that sets a SIGSEGV handler of its own when it is told. Usage: late_handler DUMP_DIR - HANDLER STEP..., see crash.h
 * HANDLER is what its handler does when it has said so: exits, chains (to the handler that it has replaced), raises (the
 * signal again, for the handler that it has replaced and puts back, as Python's faulthandler does) or jumps (back).
 */
#include "crash.h"

#include <setjmp.h>

static const char *does;
static struct sigaction replaced;
static sigjmp_buf recovery;

/* printf(3) is not for handlers. */
static void say_in_handler(const char *name, int signal, const siginfo_t *info) {
    char text[96];
    int length = snprintf(text, sizeof text, "%s %d %d %p\n", name, signal, info->si_code, info->si_addr);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(5);
}

static void late(int signal, siginfo_t *info, void *context) {
    say_in_handler("late", signal, info);
    if (!strcmp(does, "exits"))
        _exit(42);
    if (!strcmp(does, "jumps"))
        siglongjmp(recovery, 1);
    if (!strcmp(does, "raises")) {
        sigaction(signal, &replaced, NULL);
        raise(signal);
    } else if (replaced.sa_handler == SIG_DFL) {
        sigaction(signal, &replaced, NULL);
    } else {
        replaced.sa_sigaction(signal, info, context);
    }
}

static void early(int signal, siginfo_t *info, void *context) {
    (void)context;
    say_in_handler("early", signal, info);
    _exit(43);
}

static void set(void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &replaced);
}

static void say_armed(void) {
    cm_status status = cm_is_armed();
    say("armed %d %s", (int)status, status == CM_OK ? "" : cm_last_error());
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    does = argv[3];
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    for (char *const *volatile step = argv + 4; *step; step++) {
        if (!strcmp(*step, "previous-first"))
            check(cm_config_set_strategy(config, CM_STRATEGY_PREVIOUS_FIRST));
        else if (!strcmp(*step, "early"))
            set(early);
        else if (!strcmp(*step, "late"))
            set(late);
        else if (!strcmp(*step, "install"))
            check(cm_install_with(config));
        else if (!strcmp(*step, "uninstall"))
            check(cm_uninstall());
        else if (!strcmp(*step, "armed"))
            say_armed();
        else if (!strcmp(*step, "wait"))
            ready(), wait_for_line();
        else if (!strcmp(*step, "abort"))
            abort();
        else if (!sigsetjmp(recovery, 1))
            crash(*step);
    }
    cm_config_free(config);
    return 0;
}
