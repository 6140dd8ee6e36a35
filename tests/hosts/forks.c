/* A host that makes child processes, of which some crash, by its KIND. See crash.h. */
#include "crash.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

static const char *dump_dir, *argument;

/* Waits for a child and says how it ended. */
static void reap(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        say("child %d signal %d", (int)child, WTERMSIG(status));
    else
        say("child %d exit %d", (int)child, WEXITSTATUS(status));
}

/* A child that does nothing but this; the parent waits for its end. */
static void in_child(void (*body)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        body();
        exit(0);
    }
    reap(child);
}

static void crash_as_told(void) { crash(argument); }

/* Whatever the handler opens needs a number. */
static void crash_without_descriptors(void) {
    struct rlimit few = {64, 64};
    setrlimit(RLIMIT_NOFILE, &few);
    while (dup(STDOUT_FILENO) >= 0)
        ;
    crash(argument);
}

static void crash_in_new_thread(void) { run_thread(crash_in_thread, argument); }

static void exit_as_told(void) { exit(atoi(argument)); }

static void install_and_crash(void) {
    check(cm_install(dump_dir, NULL));
    crash(argument);
}

static void install_and_vanish(void) {
    check(cm_install(dump_dir, NULL));
    kill(getpid(), SIGKILL);
}

static void uninstall(void) { check(cm_uninstall()); }

static volatile int allocate_on = 1;

/* Holds the allocator's lock much of the time. */
static void *allocate(void *unused) {
    while (allocate_on)
        free(malloc(100000));
    return unused;
}

static void fork_amid_allocations(int children) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, allocate, NULL);
    for (int i = 0; i < children; i++)
        in_child(crash_segv);
    allocate_on = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void vfork_and(void (*body)(void)) {
    fflush(stdout);
    /* vfork(2) is what is tested here, deprecated or not. */
    pid_t child = vfork();
    if (child == 0) {
        body();
        _exit(1);
    }
    reap(child);
}

static int crash_with_shared_descriptors(void *unused) {
    (void)unused;
    crash(argument);
    return 1;
}

/* A child that shares memory and descriptors: what it closes the parent loses too. */
static void clone_and_crash(void) {
    enum { STACK = 256 * 1024 };
    fflush(stdout);
    char *stack = malloc(STACK);
    reap(clone(crash_with_shared_descriptors, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, NULL));
}

static void execute_true(void) { execl("/bin/true", "true", (char *)NULL); }

/* As daemons do it: two forks, a session, no descriptor left. */
static void become_daemon(void) {
    if (fork() > 0)
        return;
    setsid();
    if (fork() > 0)
        _exit(0);
    say("daemon %d", (int)getpid());
    for (int fd = 0; fd < 256; fd++)
        close(fd);
    crash(argument);
}

/* Starts this program anew: see `say_what_is_seen`. */
static void spawn(void) {
    char *arguments[] = {"forks", "spawned", NULL};
    pid_t child;
    fflush(stdout);
    if (posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ) != 0)
        exit(5);
    reap(child);
}

/* What a new program finds: descriptors, and what is done with each signal. Then it crashes. */
static void say_what_is_seen(void) {
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) != -1)
            say("seen descriptor %d", fd);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) == 0 && (action.sa_handler != SIG_DFL || sigismember(&blocked, signal)))
            say("seen signal %d %s", signal, sigismember(&blocked, signal) ? "blocked" : "not default");
    }
    crash_segv();
}

static volatile pid_t reporter;

static void *report(void *unused) {
    reporter = (pid_t)syscall(SYS_gettid);
    ready();
    crash_segv();
    return unused;
}

/* Whether a thread is waiting for the monitor, in ppoll(2). */
static int is_waiting(pid_t thread) {
    char path[64];
    long call = -1;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%ld", &call) != 1)
        call = -1;
    fclose(file);
    return call == SYS_ppoll;
}

/* A child of a process one of whose threads is reporting already: it inherits whatever is locked for that. */
static void fork_amid_a_report(void) {
    pthread_t thread;
    cm_config *config;
    check(cm_config_new(dump_dir, NULL, &config));
    check(cm_config_set_deadline_ms(config, 5000));
    check(cm_install_with(config));
    cm_config_free(config);
    say("installed");
    wait_for_line();
    pthread_create(&thread, NULL, report, NULL);
    while (!reporter || !is_waiting(reporter))
        ;
    in_child(crash_as_told);
    pthread_join(thread, NULL);
}

static volatile int suspended;

/* The kernel suspends a thread until its vfork(2) child is another program or gone: here, until the process ends. */
static void *wait_for_child(void *unused) {
    pid_t child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        suspended = 1;
        pause();
        _exit(0);
    }
    return unused;
}

/* Calls the library without pause, so that a fork comes amid a call: of those that wait for none, and of those that wait. */
static void *call_all_the_time(void *unused) {
    (void)unused;
    for (;;) {
        check(cm_set_annotation("key", "value"));
        check(cm_is_armed());
    }
    return NULL;
}

static void call_once(void) {
    alarm(20);
    check(cm_set_annotation("key", "child's"));
    check(cm_is_armed());
    _exit(0);
}

/* So many children that call the library too, while another thread of the parent does. */
static void fork_amid_calls(int count) {
    pthread_t thread;
    pthread_create(&thread, NULL, call_all_the_time, NULL);
    for (int i = 0; i < count; i++)
        in_child(call_once);
}

static volatile pid_t installer;

static cm_config *config_with_deadline(uint32_t milliseconds) {
    cm_config *config;
    check(cm_config_new(dump_dir, NULL, &config));
    check(cm_config_set_deadline_ms(config, milliseconds));
    return config;
}

static void *install_patiently(void *unused) {
    cm_config *config = config_with_deadline(25000);
    installer = (pid_t)syscall(SYS_gettid);
    check(cm_install_with(config));
    cm_config_free(config);
    return unused;
}

/* While the monitor is stopped, and once it goes on. */
static void call_and_install(void) {
    alarm(20);
    check(cm_set_annotation("key", "child's"));
    say("dump-now %d", cm_dump_now("no", NULL));
    say("in-time %d", cm_install_with(config_with_deadline(100)));
    wait_for_line();
    check(cm_install(dump_dir, NULL));
    crash_segv();
}

/* A child of a process one of whose threads is in cm_install, and stays there as long as the monitor is stopped. */
static void fork_amid_an_install(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, install_patiently, NULL);
    while (!installer || !is_waiting(installer))
        ;
    in_child(call_and_install);
    pthread_join(thread, NULL);
    wait_for_line();
    crash_segv();
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "spawned"))
        say_what_is_seen();
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    dump_dir = argv[1];
    argument = argc > 4 ? argv[4] : "segv";

    if (!strcmp(kind, "amid-report"))
        fork_amid_a_report();
    if (!strcmp(kind, "spawn"))
        spawn();
    if (!strcmp(kind, "amid-install"))
        fork_amid_an_install();

    check(cm_install(dump_dir, NULL));
    if (!strcmp(kind, "crash"))
        in_child(crash_as_told);
    else if (!strcmp(kind, "crash-without-descriptors"))
        in_child(crash_without_descriptors);
    else if (!strcmp(kind, "crash-in-thread"))
        in_child(crash_in_new_thread);
    else if (!strcmp(kind, "exit"))
        in_child(exit_as_told);
    else if (!strcmp(kind, "install-and-crash"))
        in_child(install_and_crash);
    else if (!strcmp(kind, "install-and-vanish"))
        in_child(install_and_vanish);
    else if (!strcmp(kind, "uninstall"))
        in_child(uninstall);
    else if (!strcmp(kind, "allocating"))
        fork_amid_allocations(atoi(argument));
    else if (!strcmp(kind, "calling"))
        fork_amid_calls(atoi(argument));
    else if (!strcmp(kind, "vfork-exec"))
        vfork_and(execute_true);
    else if (!strcmp(kind, "vfork-crash"))
        vfork_and(crash_as_told);
    else if (!strcmp(kind, "clone-crash"))
        clone_and_crash();
    else if (!strcmp(kind, "spawn"))
        spawn();
    else if (!strcmp(kind, "vfork-wait")) {
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_child, NULL);
        while (!suspended)
            ;
    } else if (!strcmp(kind, "daemon")) {
        become_daemon();
        return 0;
    } else
        return 2;
    ready();
    wait_for_line();
    crash_segv();
    return 0;
}
