/*
 A program with a crash handler of its own: it gets its turn once the dump is written.

     cc -g own_handler.c -o own_handler -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor
     ./own_handler crashes; echo $?
 where DIST is the absolute path of the directory with crash-monitor's include and lib.

 The handler has to be there before cm_install, which remembers it. It is called with the signal as the processor raised
 it, by the thread that crashed.

 Expect the handler's line, the exit status 42, and crashes/own_handler-<unix time>-<pid>.dmp.
 */
#define _XOPEN_SOURCE 700
#include <crash_monitor.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Calls nothing but what signal-safety(7) allows. */
static void on_crash(int signal, siginfo_t *info, void *context) {
    static const char line[] = "own_handler: saying goodbye\n";
    (void)signal, (void)info, (void)context;
    if (write(STDERR_FILENO, line, sizeof line - 1) < 0) {
        /* There is nothing else to try. */
    }
    _exit(42);
}

static void capitalise(char *text) {
    text[0] = 'H';
}

int main(int argc, char **argv) {
    struct sigaction action;
    cm_status status;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DUMP_DIR\n", argv[0]);
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    if (sigaction(SIGSEGV, &action, NULL) != 0) {
        perror("sigaction");
        return 1;
    }
    status = cm_install(argv[1], NULL);
    if (status != CM_OK) {
        fprintf(stderr, "%s\n%s\n", cm_status_text(status), cm_last_error());
        return 1;
    }
    capitalise("hello"); /* A string literal lies in memory that cannot be written to: the mistake. */
    return 0;
}
