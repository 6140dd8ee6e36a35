/* The C host that the tests crash, in the way that its KIND says; some kinds wait for a line on standard input first.
 * Usage: host DUMP_DIR SOCKET KIND [ARGUMENT], where SOCKET "-" means NULL; see crash.h
 */
#include "crash.h"

static const char *dump_dir, *socket_path, *kind, *argument;

/* Crashes in a thread of its own, which has no alternate stack. */
static void *crash_in_bare_thread(void *how) {
    ready();
    crash(how);
    return NULL;
}

static void *idle_thread(void *barrier) {
    pthread_barrier_wait(barrier);
    while (pause())
        ;
    return NULL;
}

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)context;
    char text[64];
    int length = snprintf(text, sizeof text, "handler %d %d %p\n", signal, info->si_code, info->si_addr);
    if (write(1, text, (size_t)length) != length)
        _exit(5);
    _exit(42);
}

static void handle(int signal) {
    struct sigaction action = {0};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(signal, &action, NULL);
}

static volatile sig_atomic_t children_ended;
static void on_child(int signal) {
    (void)signal;
    children_ended++;
}

/* Installing leaves errno, children, SIGCHLD and SIGPIPE of the host alone. */
static void check_untouched(void) {
    signal(SIGCHLD, on_child);
    struct sigaction pipe_before, pipe_after;
    sigaction(SIGPIPE, NULL, &pipe_before);
    check(cm_install(dump_dir, socket_path));
    sigaction(SIGPIPE, NULL, &pipe_after);
    errno = 0;
    int child = waitpid(-1, NULL, __WALL | WNOHANG);
    printf("children %d errno %d sigchld %d sigpipe %d\n", child, errno, (int)children_ended,
           pipe_before.sa_handler == pipe_after.sa_handler);
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "own-monitor")) {
        argv++;
        argc--;
        cm_status status = cm_run_monitor();
        if (status != CM_NOT_A_MONITOR)
            return 9;
    } else if (argc > 1 && !strcmp(argv[1], "--crash-monitor")) {
        cm_status status = cm_run_monitor();
        return status == CM_OK ? 0 : 1;
    }
    if (argc < 4)
        return 2;
    dump_dir = argv[1];
    socket_path = strcmp(argv[2], "-") ? argv[2] : NULL;
    kind = argv[3];
    argument = argc > 4 ? argv[4] : "segv";

    if (!strcmp(kind, "untouched")) {
        check_untouched();
        return 0;
    }
    if (!strcmp(kind, "config")) {
        /* The smallest deadline, a name and a log. */
        cm_config *config;
        check(cm_config_new(dump_dir, socket_path, &config));
        check(cm_config_set_app_name(config, "my-app"));
        check(cm_config_set_deadline_ms(config, argc > 5 ? (uint32_t)atoi(argv[5]) : 300));
        if (argc > 6)
            check(cm_config_set_monitor_log(config, argv[6]));
        check(cm_install_with(config));
        cm_config_free(config);
        ready();
        wait_for_line();
        crash(argument);
    }
    if (!strcmp(kind, "keep")) {
        /* So many dumps, so many bytes. */
        if (argc < 6)
            return 2;
        cm_config *config;
        check(cm_config_new(dump_dir, socket_path, &config));
        check(cm_config_set_retention(config, (uint32_t)atoi(argv[4]), strtoull(argv[5], NULL, 10)));
        check(cm_install_with(config));
        cm_config_free(config);
        ready();
        crash_segv();
    }
    if (!strncmp(kind, "handled", 7))
        handle(atoi(argument));
    if (!strcmp(kind, "ignored"))
        signal(atoi(argument), SIG_IGN);

    check(cm_install(dump_dir, socket_path));

    if (!strcmp(kind, "exit")) {
        return 0;
    } else if (!strcmp(kind, "wait")) {
        ready();
        wait_for_line();
        crash(argument);
    } else if (!strcmp(kind, "wait-exit")) {
        ready();
        wait_for_line();
        return 0;
    } else if (!strcmp(kind, "thread")) {
        run_thread(crash_in_thread, argument);
    } else if (!strcmp(kind, "bare-thread")) {
        run_thread(crash_in_bare_thread, argument);
    } else if (!strcmp(kind, "crowd")) {
        enum { CROWD = 20 };
        pthread_barrier_t barrier;
        pthread_barrier_init(&barrier, NULL, CROWD + 1);
        for (int i = 0; i < CROWD; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, idle_thread, &barrier);
        }
        pthread_barrier_wait(&barrier);
        run_thread(crash_in_thread, argument);
    } else if (!strcmp(kind, "handled")) {
        ready();
        raise(atoi(argument));
    } else if (!strcmp(kind, "handled-segv")) {
        ready();
        crash_segv();
    } else if (!strcmp(kind, "ignored")) {
        raise(atoi(argument));
        say("survived");
        signal(atoi(argument), SIG_DFL);
        ready();
        crash_segv();
    } else if (!strcmp(kind, "twice")) {
        check(cm_install(dump_dir, socket_path));
        say("same again is fine");
        printf("other directory %d\n", (int)cm_install("/nonexistent/other", socket_path));
        ready();
        crash_segv();
    } else if (!strcmp(kind, "uninstall")) {
        check(cm_uninstall());
        printf("again %d\n", (int)cm_uninstall());
        ready();
        crash(argument);
    } else if (!strcmp(kind, "reinstall")) {
        for (int i = 0; i < 5; i++) {
            check(cm_uninstall());
            check(cm_install(dump_dir, socket_path));
        }
        ready();
        crash(argument);
    } else if (!strcmp(kind, "close-all")) {
        /* As a daemon does it; the numbers get new files. */
        ready();
        wait_for_line();
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        while (dup(1) < 20)
            ;
        crash(argument);
    } else if (!strcmp(kind, "fork")) {
        /* The child crashes; then the parent does. */
        pid_t child = fork();
        if (child == 0)
            crash("abort");
        int status = 0;
        waitpid(child, &status, 0);
        printf("child %d signal %d\n", (int)child, WTERMSIG(status));
        ready();
        crash(argument);
    } else {
        ready();
        crash(kind);
    }
    return 0;
}
