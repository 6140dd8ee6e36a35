/* A C host that is its own monitor and has a callback for everything. Usage: callbacks DUMP_DIR KIND */
#include "crash.h"

static void on_dump(const char *dump, const char *record, void *user_data) {
    char path[4096];
    snprintf(path, sizeof path, "%s.seen", record ? record : dump);
    FILE *file = fopen(path, "w");
    fprintf(file, "%s\n%s\n%s\n", (const char *)user_data, dump ? dump : "-", record ? record : "-");
    fclose(file);
}

static volatile int lines;
static void on_log(uint32_t level, const char *message, void *user_data) {
    (void)user_data;
    if (level >= 1 && level <= 3 && strlen(message) > 0)
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

int main(int argc, char **argv) {
    check(cm_set_dump_callback(on_dump, "told so"));
    check(cm_set_log_callback(on_log, NULL));
    if (cm_set_dump_callback(on_dump, NULL) != CM_ERR_INVALID_ARGUMENT || cm_set_log_callback(NULL, NULL) != CM_ERR_NULL_ARGUMENT)
        return 6;
    cm_status status = cm_run_monitor();
    if (status != CM_NOT_A_MONITOR)
        return status == CM_OK && lines > 0 ? 0 : 1;
    if (argc < 3)
        return 2;
    const char *kind = argv[2];
    cm_config *config = cm_config_new(argv[1], NULL);
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
    crash_with("correct-horse-battery-staple and sixty-three bytes of secret...");
}
