/* A host that others send signals to, while its threads run. Usage: sent DUMP_DIR - KIND, see crash.h
 * KIND is default; or handler: then a SIGSEGV handler that was there before us says what it gets, and ends the process; or
 * ignored: then it sends itself a signal that it ignores.
 */
#include "crash.h"

static void on_signal(int signal, siginfo_t *info, void *context) {
    char text[96];
    (void)context;
    int length = snprintf(text, sizeof text, "handler %d code %d pid %d value %d\n", signal, info->si_code,
                          (int)info->si_pid, info->si_value.sival_int);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(5);
    _exit(42);
}

static void *run(void *barrier) {
    pthread_barrier_wait(barrier);
    for (volatile unsigned long i = 0;; i++)
        ;
    return NULL;
}

int main(int argc, char **argv) {
    enum { THREADS = 3, ERRNO = 1234 };
    if (argc < 4)
        return 2;
    if (!strcmp(argv[3], "handler")) {
        struct sigaction action = {0};
        action.sa_sigaction = on_signal;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, NULL);
    }
    if (!strcmp(argv[3], "ignored")) {
        signal(SIGTRAP, SIG_IGN);
        check(cm_install(argv[1], NULL));
        errno = ERRNO;
        kill(getpid(), SIGTRAP);
        say("errno %d", errno);
        say("armed %d", (int)cm_is_armed());
        return 0;
    }
    check(cm_install(argv[1], NULL));
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, run, &barrier);
    }
    pthread_barrier_wait(&barrier);
    ready();
    for (;;)
        pause();
}
