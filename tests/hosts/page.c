/* The C host for what lies in the page that a process shares with its monitor. Usage: page DUMP_DIR - KIND */
#include "crash.h"
#include <sched.h>
#include <time.h>

static char file[4096];
static const char memory[] = "gold, silver and copper";

static void fill(const char *who) {
    FILE *attached = fopen(file, "w");
    if (!attached || fputs("attached", attached) < 0 || fclose(attached) != 0)
        exit(5);
    check(cm_attach_file(file));
    check(cm_add_memory(memory, sizeof memory));
    check(cm_set_annotation("who", who));
    check(cm_log(CM_LOG_INFO, "first", 5));
    check(cm_log(CM_LOG_ERROR, "second\0line", 11));
    check(cm_set_thread_annotation("request", who));
}

/* Every call that a signal handler may make. */
static void on_signal(int signal) {
    (void)signal;
    cm_set_annotation("from", "a handler");
    cm_set_annotation("", "refused");
    cm_set_thread_annotation("in", "a handler");
    cm_log(CM_LOG_WARNING, "handled", 7);
    cm_add_memory(&on_signal, 8);
    cm_remove_memory(&on_signal);
    cm_heartbeat();
}

static volatile int done;

static void *write_on(void *unused) {
    (void)unused;
    char value[64];
    for (long i = 0; !done; i++) {
        snprintf(value, sizeof value, "%ld %ld", i, i);
        check(cm_set_annotation("pair", value));
        check(cm_log(CM_LOG_INFO, value, strlen(value)));
        check(cm_set_thread_annotation("pair", value));
    }
    return NULL;
}

static volatile long written[2];

static void *annotate_without_pause(void *unused) {
    (void)unused;
    for (; !done; written[0]++)
        check(cm_set_annotation("busy", written[0] % 2 ? "odd" : "even"));
    return NULL;
}

static void *log_without_pause(void *unused) {
    (void)unused;
    for (; !done; written[1]++)
        check(cm_log(CM_LOG_INFO, "busy", 4));
    return NULL;
}

/* Writers that a timer's handler interrupts again and again. */
static void interrupted(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerspec often = {{0, 20000}, {0, 20000}};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer) != 0)
        exit(5);
    timer_settime(timer, 0, &often, NULL);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, write_on, NULL);
    time_t start = time(NULL);
    while (time(NULL) - start < 2)
        check(cm_set_annotation("from", "main"));
    done = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    timer_delete(timer);
    check(cm_set_annotation("from", "main"));
}

static void *one_annotation(void *number) {
    char value[16];
    snprintf(value, sizeof value, "%ld", (long)number);
    check(cm_set_thread_annotation("number", value));
    return NULL;
}

static long raw_fork(void) { return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }

static void fork_and_crash(const char *kind) {
    int to_child[2], to_parent[2];
    if (pipe(to_child) != 0 || pipe(to_parent) != 0)
        exit(5);
    pid_t child = !strcmp(kind, "fork") ? fork() : (pid_t)raw_fork();
    if (child == 0) {
        char byte;
        /* Nothing of ours runs in such a child before its first write. */
        if (!strcmp(kind, "raw-fork"))
            cm_set_annotation("child", "yes");
        if (write(to_parent[1], "x", 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(6);
        cm_set_annotation("child", "yes");
        cm_log(CM_LOG_INFO, "child's", 7);
        crash_segv();
    }
    char byte;
    if (read(to_parent[0], &byte, 1) != 1)
        exit(5);
    check(cm_set_annotation("who", "parent afterwards"));
    check(cm_set_annotation("parent", "yes"));
    check(cm_log(CM_LOG_INFO, "parent's", 8));
    if (write(to_child[1], &byte, 1) != 1)
        exit(5);
    int status;
    waitpid(child, &status, 0);
    say("child %d signal %d", (int)child, WTERMSIG(status));
}

static void small_log(const char *directory) {
    cm_config *config;
    check(cm_config_new(directory, NULL, &config));
    check(cm_config_set_log_bytes(config, 4096));
    check(cm_install_with(config));
    cm_config_free(config);
    char line[32];
    for (int i = 0; i < 1000; i++)
        check(cm_log(CM_LOG_DEBUG, line, (size_t)snprintf(line, sizeof line, "line %d", i)));
    char *longest = memset(malloc(5000), 'l', 5000);
    check(cm_log(CM_LOG_INFO, longest, 5000));
    free(longest);
}

/* A thread with annotations and a log of its own, of which there are two dumps. */
static void *dumped_thread(void *unused) {
    fill("thread");
    check(cm_dump_now("alive", NULL));
    ready();
    wait_for_line();
    crash_segv();
    return unused;
}

/* As daemon(3) does it, and as many daemons do besides. */
static void become_daemon_and_crash(void) {
    if (daemon(1, 1) != 0)
        exit(5);
    say("daemon %d", (int)getpid());
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
    cm_log(CM_LOG_INFO, "all closed", 10);
    crash_segv();
}

/* A daemon that is a host of its own, since it has installed once more. */
static void become_daemon_and_install(const char *dump_dir) {
    if (daemon(1, 1) != 0)
        exit(5);
    check(cm_install(dump_dir, NULL));
    check(cm_set_annotation("daemon", "yes"));
    say("daemon %d", (int)getpid());
    kill(getpid(), SIGKILL);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    snprintf(file, sizeof file, "%s/../attached", argv[1]);
    check(cm_set_annotation("early", "bird"));
    if (!strcmp(kind, "small-log"))
        small_log(argv[1]);
    else
        check(cm_install(argv[1], NULL));

    if (!strcmp(kind, "filled")) {
        fill("parent");
    } else if (!strcmp(kind, "interrupted")) {
        interrupted();
    } else if (!strcmp(kind, "busy")) {
        pthread_t threads[2];
        pthread_create(&threads[0], NULL, annotate_without_pause, NULL);
        pthread_create(&threads[1], NULL, log_without_pause, NULL);
        while (written[0] < 1000 || written[1] < 1000)
            sched_yield();
    } else if (!strcmp(kind, "threads")) {
        /* More than there is room for, but each of them has ended by the time the next one comes. */
        for (long i = 0; i < 600; i++) {
            pthread_t thread;
            pthread_create(&thread, NULL, one_annotation, (void *)i);
            pthread_join(thread, NULL);
        }
        check(cm_set_thread_annotation("number", "main"));
    } else if (!strcmp(kind, "fork") || !strcmp(kind, "raw-fork")) {
        fill("parent");
        fork_and_crash(kind);
    } else if (!strcmp(kind, "daemon")) {
        fill("daemon");
        become_daemon_and_crash();
    } else if (!strcmp(kind, "installing-daemon")) {
        fill("daemon");
        become_daemon_and_install(argv[1]);
    } else if (!strcmp(kind, "executed-again")) {
        fill("before");
        execl("/proc/self/exe", argv[0], argv[1], argv[2], "filled", (char *)NULL);
        exit(5);
    } else if (!strcmp(kind, "thread")) {
        check(cm_set_thread_annotation("request", "main"));
        run_thread(dumped_thread, NULL);
    }
    ready();
    wait_for_line();
    crash_segv();
}
