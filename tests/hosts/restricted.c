/* A C host that restricts itself, as its KIND says, before or after it installs; then it crashes. See crash.h. Its
 * monitor's log is monitor.log in the dump directory. */
#include "crash.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const char *dump_dir;

static void require(int holds, const char *what) {
    if (holds)
        return;
    say("failed %s: %s", what, strerror(errno));
    exit(4);
}

static void limit(int resource, int value) {
    require(!setrlimit(resource, &(struct rlimit){(rlim_t)value, (rlim_t)value}), "setrlimit");
}

/* Every soft limit of this process that hinders a monitor is low; the hard ones stay. */
static void lower_soft_limits(void) {
    static const struct { int resource; rlim_t soft; } limits[] = {
        {RLIMIT_FSIZE, 4096},    {RLIMIT_DATA, 32 << 20}, {RLIMIT_STACK, 256 << 10}, {RLIMIT_AS, 64 << 20},
        {RLIMIT_CPU, 60},        {RLIMIT_NOFILE, 32},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        require(!getrlimit(limits[i].resource, &limit), "getrlimit");
        limit.rlim_cur = limits[i].soft;
        require(!setrlimit(limits[i].resource, &limit), "setrlimit");
    }
}

static void install(void) {
    char log[4096];
    snprintf(log, sizeof log, "%s/monitor.log", dump_dir);
    cm_config *config;
    check(cm_config_new(dump_dir, NULL, &config));
    check(cm_config_set_monitor_log(config, log));
    check(cm_install_with(config));
    cm_config_free(config);
}

static void undumpable(void) {
    /* Then it is not the limit that keeps the kernel from writing a core file. */
    struct rlimit core;
    require(!getrlimit(RLIMIT_CORE, &core), "getrlimit");
    core.rlim_cur = core.rlim_max;
    require(!setrlimit(RLIMIT_CORE, &core), "setrlimit");
    require(!prctl(PR_SET_DUMPABLE, 0), "prctl");
}

/* From now on ptrace(2) comes to this end, here and in every process that this one starts. */
static void forbid_ptrace(__u32 end) {
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, end),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof instructions / sizeof *instructions, instructions};
    require(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    require(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), "seccomp");
}

static void use_up_descriptors(void) {
    while (dup(0) >= 0)
        ;
    require(errno == EMFILE, "dup");
}

/* Forks. In the parent it waits for the child and gives 1. */
static int wait_for_child(void) {
    int status, child = fork();
    require(child >= 0, "fork");
    if (!child)
        return 0;
    require(waitpid(child, &status, 0) == child, "waitpid");
    say("child ended by %d", WTERMSIG(status));
    return 1;
}

/* Standard output and standard error are pipes whose reader has gone. */
static void nobody_listens(void) {
    int ends[2];
    require(!pipe(ends), "pipe");
    require(dup2(ends[1], 1) == 1 && dup2(ends[1], 2) == 2, "dup2");
    close(ends[0]);
    close(ends[1]);
}

static void *idle(void *unused) {
    (void)unused;
    while (pause())
        ;
    return NULL;
}

static void *crash_at_once(void *unused) {
    (void)unused;
    ready();
    crash_segv();
    return NULL;
}

/* Crashes once the main thread, which /proc/PID/stat shows, has ended: then that has the state Z. */
static void *crash_alone(void *unused) {
    char state = 0;
    while (state != 'Z') {
        FILE *stat = fopen("/proc/self/stat", "r");
        require(stat && fscanf(stat, "%*d %*s %c", &state) == 1, "/proc/self/stat");
        fclose(stat);
    }
    return crash_at_once(unused);
}

/* Starts so many threads with small stacks, all idle but the last. */
static void start_threads(int count, void *(*last)(void *)) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (int i = 1; i <= count; i++) {
        pthread_t thread;
        errno = pthread_create(&thread, &attributes, i == count ? last : idle, NULL);
        require(!errno, "pthread_create");
    }
}

/* A block before which malloc(3) keeps a size that free(3) finds to be impossible. */
static void *corrupt_block(void) {
    void *volatile block = malloc(2000);
    ((volatile size_t *)block)[-1] = 0x5151515151515151;
    return block;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    dump_dir = argv[1];
    const char *kind = argv[3], *how = "segv";
    void *corrupt = NULL;
    int argument = argc > 4 ? atoi(argv[4]) : 0;

    if (!strcmp(kind, "plain")) {
        install();
    } else if (!strcmp(kind, "wait")) {
        install();
        say("waiting");
        wait_for_line();
    } else if (!strcmp(kind, "undumpable-before")) {
        undumpable();
        install();
    } else if (!strcmp(kind, "undumpable-after")) {
        install();
        undumpable();
    } else if (!strcmp(kind, "ptrace-fails")) {
        forbid_ptrace(SECCOMP_RET_ERRNO | EPERM);
        install();
    } else if (!strcmp(kind, "ptrace-kills")) {
        forbid_ptrace(SECCOMP_RET_KILL_PROCESS);
        install();
    } else if (!strcmp(kind, "processes")) {
        limit(RLIMIT_NPROC, argument);
        install();
        ready();
        wait_for_line();
        /* The limit counts threads. */
        start_threads(1, idle);
    } else if (!strcmp(kind, "processes-attached")) {
        limit(RLIMIT_NPROC, argument);
        install();
        ready();
        wait_for_line();
        start_threads(1, idle);
        check(cm_attach_file("/proc/self/exe"));
        check(cm_dump_now("alive", NULL));
    } else if (!strcmp(kind, "soft-limits")) {
        lower_soft_limits();
        install();
        say("installed");
        wait_for_line();
    } else if (!strcmp(kind, "file-size")) {
        limit(RLIMIT_FSIZE, argument);
        install();
    } else if (!strcmp(kind, "descriptors")) {
        limit(RLIMIT_NOFILE, argument);
        install();
        use_up_descriptors();
    } else if (!strcmp(kind, "descriptors-forked")) {
        limit(RLIMIT_NOFILE, argument);
        install();
        use_up_descriptors();
        if (wait_for_child())
            return 0;
    } else if (!strcmp(kind, "no-descriptors")) {
        use_up_descriptors();
        install();
    } else if (!strcmp(kind, "no-core")) {
        limit(RLIMIT_CORE, 0);
        install();
    } else if (!strcmp(kind, "stack")) {
        limit(RLIMIT_STACK, argument);
        install();
        say("arguments %p", (void *)argv[0]);
        how = "overflow";
    } else if (!strcmp(kind, "corrupt-heap")) {
        install();
        corrupt = corrupt_block();
    } else if (!strcmp(kind, "threads")) {
        install();
        start_threads(argument, crash_at_once);
        idle(NULL);
    } else if (!strcmp(kind, "no-main-thread")) {
        install();
        start_threads(1, crash_alone);
        pthread_exit(NULL);
    } else if (!strcmp(kind, "unheard")) {
        nobody_listens();
        install();
        crash(how);
    } else {
        return 2;
    }
    ready();
    free(corrupt);
    crash(how);
}
