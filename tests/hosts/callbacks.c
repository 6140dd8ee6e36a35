/* A C host that is its own monitor and has a callback for everything. Usage: callbacks DUMP_DIR KIND */
#include "crash.h"

#include <fcntl.h>

/* Waits as long as there is a FIFO `hold` in the dump directory that nobody has opened for writing. */
static void wait_where_held(const char *dump) {
    char path[4096];
    snprintf(path, sizeof path, "%.*s/hold", (int)(strrchr(dump, '/') - dump), dump);
    int fd = open(path, O_RDONLY);
    if (fd >= 0)
        close(fd);
}

static const char *or_none(const char *text) { return text ? text : "-"; }

static void on_report(const cm_report *report, void *user_data) {
    const char *record = cm_report_record_path(report), *text;
    char path[4096];
    /* minidumper's server writes no record. */
    snprintf(path, sizeof path, "%s.seen", record ? record : cm_report_dump_path(report));
    wait_where_held(path);
    FILE *file = fopen(path, "w");
    fprintf(file, "%s\nversion %u\nkind %d\n", (const char *)user_data, cm_report_version(report), cm_report_kind(report));
    fprintf(file, "dump %s\nrecord %s\n", or_none(cm_report_dump_path(report)), or_none(record));
    fprintf(file, "app %s\npid %u\nthread %u\n", cm_report_app_name(report), cm_report_pid(report),
            cm_report_thread_id(report));
    fprintf(file, "signal %d\nexit %d\n", cm_report_signal(report), cm_report_exit_status(report));
    fprintf(file, "reason %s\n", or_none(cm_report_reason(report)));
    for (size_t i = 0; (text = cm_report_annotation_key(report, i)) != NULL; i++)
        fprintf(file, "annotation %s=%s\n", text, cm_report_annotation(report, text));
    for (size_t i = 0; (text = cm_report_attachment_path(report, i)) != NULL; i++)
        fprintf(file, "attachment %s\n", text);
    fprintf(file, "unknown %s\n", or_none(cm_report_annotation(report, "unknown")));
    fprintf(file, "null %d\n", cm_report_annotation(report, NULL) == NULL && cm_report_dump_path(NULL) == NULL &&
                                    cm_report_app_name(NULL) == NULL && cm_report_kind(NULL) == 0);
    fclose(file);
}

/* A function that was replaced, or removed, is not called: it would end the process that writes the dump. */
static void replaced(const cm_report *report, void *user_data) {
    (void)report, (void)user_data;
    abort();
}

static volatile int lines;
static void on_log(uint32_t level, const char *message, void *user_data) {
    (void)user_data;
    if (level >= CM_LOG_ERROR && level <= CM_LOG_INFO && strlen(message) > 0)
        lines++;
}

static int32_t on_crash(int32_t signal, const void *siginfo, const void *context, void *user_data) {
    const siginfo_t *info = siginfo;
    if (signal != SIGSEGV || info->si_addr != (void *)0xdead000 || !context)
        _exit(7);
    if (write(1, user_data, strlen(user_data)) < 0)
        _exit(8);
    return strstr(user_data, "veto") != NULL;
}

/* Another thread may do the same at any time: the write that has faulted works the next time. */
static int32_t mend(int32_t signal, const void *siginfo, const void *context, void *user_data) {
    (void)signal, (void)siginfo, (void)context, (void)user_data;
    void *page = (void *)0xdead000;
    if (mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != page)
        _exit(9);
    return 0;
}

NOINLINE static void crash_with(volatile const char *secret) {
    volatile char on_stack[64];
    for (int i = 0; i < 63; i++)
        on_stack[i] = secret[i];
    on_stack[63] = 0;
    *(volatile int *)0xdead000 = on_stack[1];
}

/* The monitor's command line is the host's with other arguments: an environment variable does not reach it. */
static int is_in_monitors_path(char **argv, const char *word) {
    while (*argv)
        if (strstr(*argv++, word))
            return 1;
    return 0;
}

int main(int argc, char **argv) {
    check(cm_set_report_callback(replaced, NULL));
    check(cm_set_report_callback(on_report, "told so"));
    check(cm_set_log_callback(on_log, NULL));
    int unset = is_in_monitors_path(argv, "/unset");
    if (unset) {
        check(cm_set_report_callback(NULL, NULL));
        check(cm_set_log_callback(NULL, NULL));
    }
    cm_status status = cm_run_monitor();
    if (status != CM_NOT_A_MONITOR)
        return status == CM_OK && (lines > 0) != unset ? 0 : 1;
    if (argc < 3)
        return 2;
    const char *kind = argv[2];
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    if (!strcmp(kind, "veto"))
        check(cm_config_set_crash_callback(config, on_crash, "called to veto\n"));
    else if (!strcmp(kind, "callback"))
        check(cm_config_set_crash_callback(config, on_crash, "called\n"));
    else if (!strcmp(kind, "mend"))
        check(cm_config_set_crash_callback(config, mend, NULL));
    else if (!strcmp(kind, "environment"))
        check(cm_config_set_environment(config, 1));
    else if (!strcmp(kind, "sanitize"))
        check(cm_config_set_sanitize_stacks(config, 1));
    check(cm_install_with(config));
    cm_config_free(config);
    ready();
    if (!strcmp(kind, "killed"))
        raise(SIGKILL);
    if (!strcmp(kind, "exits"))
        _exit(7);
    if (!strcmp(kind, "everything")) {
        check(cm_set_annotation("colour", "red"));
        check(cm_set_annotation_n("a\0b", 3, "c\0d", 3));
        check(cm_attach_file(argv[0]));
        check(cm_dump_now("on purpose", NULL));
        return 0;
    }
    crash_with("correct-horse-battery-staple and sixty-three bytes of secret...");
}
