/* A C host that is its own monitor, and asks for a dump while one of its threads cannot be stopped: it is in vfork(2) until its
 * child ends. The report callback ends when the host says so. Usage: vforks DUMP_DIR */
#include "crash.h"

static int begin_of_child[2], end_of_child[2];

static void in_directory_of(const char *path, const char *name, char *out, size_t size) {
    int length = 0;
    for (int i = 0; path[i]; i++)
        length = path[i] == '/' ? i : length;
    snprintf(out, size, "%.*s/%s", length, path, name);
}

static void on_report(const cm_report *report, void *user_data) {
    (void)user_data;
    const char *record = cm_report_record_path(report);
    char enough[4096];
    in_directory_of(record, "enough", enough, sizeof enough);
    for (int i = 0; i < 2000 && access(enough, F_OK) != 0; i++)
        usleep(10 * 1000);
    if (access(enough, F_OK) != 0) {
        in_directory_of(record, "ended", enough, sizeof enough);
        fclose(fopen(enough, "w"));
    }
}

static void *wait_for_child(void *argument) {
    pid_t child = vfork();
    if (child == 0) {
        char byte;
        _exit(write(begin_of_child[1], "", 1) == 1 && read(end_of_child[0], &byte, 1) == 1 ? 0 : 1);
    }
    waitpid(child, NULL, 0);
    return argument;
}

int main(int argc, char **argv) {
    check(cm_set_report_callback(on_report, NULL));
    cm_status status = cm_run_monitor();
    if (status != CM_NOT_A_MONITOR)
        return status == CM_OK ? 0 : 1;
    if (argc < 2 || pipe(begin_of_child) != 0 || pipe(end_of_child) != 0)
        return 2;
    check(cm_install(argv[1], NULL));
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_child, NULL);
    char path[4096], byte;
    if (read(begin_of_child[0], &byte, 1) != 1)
        return 5;
    check(cm_dump_now("a thread is in vfork", NULL));
    if (write(end_of_child[1], "", 1) != 1)
        return 4;
    pthread_join(thread, NULL);
    snprintf(path, sizeof path, "%s/ended", argv[1]);
    printf("callback %s\n", access(path, F_OK) == 0 ? "has ended" : "goes on");
    snprintf(path, sizeof path, "%s/enough", argv[1]);
    fclose(fopen(path, "w"));
    return 0;
}
