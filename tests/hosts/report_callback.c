/* A C host that is its own monitor, with a report callback that does what callbacks should not do: KIND is exec, close, daemon
 * or slow, and becomes the application's name, from which the callback knows it. All that the callback leaves behind ends once
 * there is a file `enough` beside the dumps, or after a minute. Usage: report_callback DUMP_DIR KIND
 */
#include "crash.h"

static char directory[4096];

static int is_enough(void) {
    char path[4200];
    snprintf(path, sizeof path, "%s/enough", directory);
    return access(path, F_OK) == 0;
}

static void wait_until_enough(void) {
    for (int i = 0; i < 600 && !is_enough(); i++)
        usleep(100 * 1000);
}

static void say_begun(const char *record) {
    char path[4200];
    snprintf(path, sizeof path, "%s.begun", record);
    fclose(fopen(path, "w"));
}

static void on_report(const cm_report *report, void *user_data) {
    const char *record = cm_report_record_path(report);
    (void)user_data;
    snprintf(directory, sizeof directory, "%s", record);
    char *name = strrchr(directory, '/');
    *name++ = 0;
    if (!strncmp(name, "exec-", 5)) {
        say_begun(record);
        execlp("sh", "sh", "-c", "i=0; until [ -e \"$0/enough\" ] || [ $i = 600 ]; do sleep 0.1; i=$((i+1)); done", directory,
               (char *)NULL);
        _exit(9);
    } else if (!strncmp(name, "close-", 6)) {
        say_begun(record);
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        wait_until_enough();
    } else if (!strncmp(name, "daemon-", 7)) {
        if (fork() == 0) {
            setsid();
            wait_until_enough();
            _exit(0);
        }
        say_begun(record);
    } else if (!strncmp(name, "slow-", 5)) {
        wait_until_enough();
        say_begun(record);
    }
}

int main(int argc, char **argv) {
    check(cm_set_report_callback(on_report, NULL));
    cm_status status = cm_run_monitor();
    if (status != CM_NOT_A_MONITOR)
        return status == CM_OK ? 0 : 1;
    if (argc < 3)
        return 2;
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    check(cm_config_set_app_name(config, argv[2]));
    check(cm_install_with(config));
    cm_config_free(config);
    ready();
    crash_segv();
}
