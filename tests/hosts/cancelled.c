/* A host that calls every function in threads whose cancellation is pending. Usage: cancelled DUMP_DIR */
#include "crash.h"

static const char *dump_dir;
static volatile int returned;

static void call(int number) {
    static char memory[16];
    cm_config *config = NULL;
    const char *path = NULL;
    switch (number) {
    case 0: check(cm_set_annotation("key", "value")); break;
    case 1: check(cm_install(dump_dir, NULL)); break;
    case 2: check(cm_install(dump_dir, NULL)); break;
    case 3: check(cm_is_armed()); break;
    case 4: check(cm_dump_now("cancelled", &path)); break;
    case 5: check(cm_set_annotation_n("key", 3, "again", 5)); break;
    case 6: check(cm_attach_file("/etc/hostname")); break;
    case 7: check(cm_add_memory(memory, sizeof memory)); break;
    case 8: check(cm_remove_memory(memory)); break;
    case 9: check(cm_heartbeat_start(60000)); break;
    case 10: check(cm_heartbeat()); break;
    case 11: check(cm_thread_init()); break;
    case 12: check(cm_add_runtime_code(memory, memory + 1)); break;
    case 13:
        check(cm_config_new(dump_dir, NULL, &config));
        check(cm_config_set_deadline_ms(config, 5000));
        cm_config_free(config);
        break;
    case 14: check(cm_set_report_callback(NULL, NULL)); break;
    case 15: check(cm_set_log_callback(NULL, NULL)); break;
    case 16: check(cm_run_monitor() == CM_NOT_A_MONITOR ? CM_OK : CM_ERR_INTERNAL); break;
    case 17: check(cm_heartbeat_start(0)); break;
    case 18: check(cm_install("/dev/null", NULL) == CM_ERR_ALREADY_INSTALLED ? CM_OK : CM_ERR_INTERNAL); break;
    case 19: check(cm_last_error() && cm_status_text(0) && cm_version_number() ? CM_OK : CM_ERR_INTERNAL); break;
    case 20: check(cm_uninstall()); break;
    }
}

static void *cancelled(void *argument) {
    int state;
    pthread_cancel(pthread_self());
    call(*(int *)argument);
    returned++;
    /* As it was before the call. */
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    if (state != PTHREAD_CANCEL_ENABLE)
        _exit(6);
    pthread_testcancel();
    return NULL;
}

static void *disabled(void *unused) {
    int state;
    (void)unused;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    check(cm_set_annotation("key", "value"));
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    return state == PTHREAD_CANCEL_DISABLE ? disabled : NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    void *result;
    if (argc != 2)
        return 2;
    dump_dir = argv[1];
    for (int i = 0; i <= 20; i++) {
        pthread_create(&thread, NULL, cancelled, &i);
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED || returned != i + 1) {
            say("call %d: returned %d", i, returned);
            return 4;
        }
    }
    pthread_create(&thread, NULL, disabled, NULL);
    pthread_join(thread, &result);
    if (!result)
        return 5;
    say("returned %d", returned);
    return 0;
}
