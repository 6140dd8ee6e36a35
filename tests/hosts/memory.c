/* Makes every call of the C API where memory runs out, each in a new thread, until it has had all the memory that it asks for.
 * MODE: "once" has one allocation fail, "on" all from one on, "full" is a heap at its limit (RLIMIT_AS). */
#include "crash.h"
#include "failing_malloc.h"
#include <sys/resource.h>
#include <sys/stat.h>

static char dump_dir[4096], other_dir[4096], monitor_log[4096];
static cm_config *config, *made;
static char memory[16];
static const char *path;

static cm_status new_config(void) { return cm_config_new(dump_dir, NULL, &made); }
static cm_status app_name(void) { return cm_config_set_app_name(config, "name"); }
static cm_status bad_app_name(void) { return cm_config_set_app_name(config, "a/b"); }
static cm_status monitor_path(void) { return cm_config_set_monitor_path(made, "/bin/false"); }
static cm_status set_monitor_log(void) { return cm_config_set_monitor_log(config, monitor_log); }
static cm_status deadline(void) { return cm_config_set_deadline_ms(config, 10000); }
static cm_status retention(void) { return cm_config_set_retention(config, 100, 1 << 30); }
static cm_status log_bytes(void) { return cm_config_set_log_bytes(config, 65536); }
static cm_status strategy(void) { return cm_config_set_strategy(config, CM_STRATEGY_REPORT_FIRST); }
static cm_status environment(void) { return cm_config_set_environment(config, 0); }
static cm_status sanitize(void) { return cm_config_set_sanitize_stacks(config, 0); }
static cm_status crash_callback(void) { return cm_config_set_crash_callback(config, NULL, NULL); }
static cm_status install(void) { return cm_install(dump_dir, NULL); }
static cm_status install_with(void) { return cm_install_with(config); }
static cm_status install_other(void) { return cm_install(other_dir, NULL); }
static cm_status heartbeat_start(void) { return cm_heartbeat_start(60000); }
static cm_status runtime_code(void) { return cm_add_runtime_code(memory, memory + 1); }
static cm_status set_annotation(void) { return cm_set_annotation("key", "value"); }
static cm_status set_annotation_n(void) { return cm_set_annotation_n("key", 3, "value", 5); }
static cm_status thread_annotation(void) { return cm_set_thread_annotation("key", "value"); }
static cm_status thread_annotation_n(void) { return cm_set_thread_annotation_n("key", 3, "value", 5); }
static cm_status add_log(void) { return cm_log(CM_LOG_INFO, "text", 4); }
static cm_status attach_file(void) { return cm_attach_file("hostname"); }
static cm_status add_memory(void) { return cm_add_memory(memory, sizeof memory); }
static cm_status remove_memory(void) { return cm_remove_memory(memory); }
static cm_status dump_now(void) { return cm_dump_now("reason", &path); }
static cm_status dump_now_n(void) { return cm_dump_now_n("reason", 6, &path); }
static cm_status report_callback(void) { return cm_set_report_callback(NULL, NULL); }
static cm_status log_callback(void) { return cm_set_log_callback(NULL, NULL); }
static cm_status run_monitor(void) { return cm_run_monitor() == CM_NOT_A_MONITOR ? CM_OK : CM_ERR_INTERNAL; }
static cm_status texts(void) {
    return *cm_status_text(CM_OK) && *cm_version() && cm_version_number() && cm_last_error() ? CM_OK : CM_ERR_INTERNAL;
}
/* Those of a report, which only a monitor has, do nothing for none. */
static cm_status no_report(void) {
    const void *found = cm_report_dump_path(NULL);
    found = found ? found : cm_report_record_path(NULL);
    found = found ? found : cm_report_attachment_path(NULL, 0);
    found = found ? found : cm_report_app_name(NULL);
    found = found ? found : cm_report_reason(NULL);
    found = found ? found : cm_report_annotation(NULL, "key");
    found = found ? found : cm_report_annotation_key(NULL, 0);
    return found || cm_report_version(NULL) || cm_report_kind(NULL) || cm_report_pid(NULL) || cm_report_thread_id(NULL) ||
                   cm_report_signal(NULL) || cm_report_exit_status(NULL) != -1
               ? CM_ERR_INTERNAL
               : CM_OK;
}

static void free_made(void) { cm_config_free(made); }
static void uninstall(void) { check(cm_uninstall()); }
static void replace_handler(void) { signal(SIGSEGV, SIG_DFL); }
static void install_again(void) { check(cm_install_with(config)); }

/* In the order of a host's life: `before` and `after` have all the memory that they want. */
static const struct call {
    const char *name;
    cm_status (*function)(void);
    cm_status expected;
    void (*before)(void), (*after)(void);
} calls[] = {
    {"cm_status_text", texts, CM_OK, NULL, NULL},
    {"cm_report", no_report, CM_OK, NULL, NULL},
    {"cm_run_monitor", run_monitor, CM_OK, NULL, NULL},
    {"cm_set_report_callback", report_callback, CM_OK, NULL, NULL},
    {"cm_set_log_callback", log_callback, CM_OK, NULL, NULL},
    {"cm_thread_init", cm_thread_init, CM_OK, NULL, NULL},
    {"cm_set_annotation", set_annotation, CM_OK, NULL, NULL},
    {"cm_set_annotation_n", set_annotation_n, CM_OK, NULL, NULL},
    {"cm_set_thread_annotation", thread_annotation, CM_OK, NULL, NULL},
    {"cm_set_thread_annotation_n", thread_annotation_n, CM_OK, NULL, NULL},
    {"cm_log", add_log, CM_OK, NULL, NULL},
    {"cm_attach_file", attach_file, CM_OK, NULL, NULL},
    {"cm_add_memory", add_memory, CM_OK, NULL, NULL},
    {"cm_remove_memory", remove_memory, CM_OK, (void (*)(void))add_memory, NULL},
    {"cm_config_new", new_config, CM_OK, NULL, free_made},
    {"cm_config_set_monitor_path", monitor_path, CM_OK, (void (*)(void))new_config, free_made},
    {"cm_config_set_app_name", app_name, CM_OK, NULL, NULL},
    {"cm_config_set_app_name", bad_app_name, CM_ERR_INVALID_ARGUMENT, NULL, NULL},
    {"cm_config_set_monitor_log", set_monitor_log, CM_OK, NULL, NULL},
    {"cm_config_set_deadline_ms", deadline, CM_OK, NULL, NULL},
    {"cm_config_set_retention", retention, CM_OK, NULL, NULL},
    {"cm_config_set_log_bytes", log_bytes, CM_OK, NULL, NULL},
    {"cm_config_set_strategy", strategy, CM_OK, NULL, NULL},
    {"cm_config_set_environment", environment, CM_OK, NULL, NULL},
    {"cm_config_set_sanitize_stacks", sanitize, CM_OK, NULL, NULL},
    {"cm_config_set_crash_callback", crash_callback, CM_OK, NULL, NULL},
    {"cm_dump_now", dump_now, CM_ERR_NOT_INSTALLED, NULL, NULL},
    {"cm_install", install, CM_OK, NULL, uninstall},
    {"cm_install_with", install_with, CM_OK, NULL, uninstall},
    {"cm_install_with", install_with, CM_OK, install_again, NULL},
    {"cm_install_with", install_with, CM_OK, replace_handler, NULL},
    {"cm_install", install_other, CM_ERR_ALREADY_INSTALLED, NULL, NULL},
    {"cm_is_armed", cm_is_armed, CM_OK, NULL, NULL},
    {"cm_is_armed", cm_is_armed, CM_ERR_HANDLER, replace_handler, install_again},
    {"cm_add_runtime_code", runtime_code, CM_OK, NULL, NULL},
    {"cm_heartbeat_start", heartbeat_start, CM_OK, NULL, NULL},
    {"cm_heartbeat", cm_heartbeat, CM_OK, NULL, NULL},
    {"cm_dump_now", dump_now, CM_OK, NULL, NULL},
    {"cm_dump_now_n", dump_now_n, CM_OK, NULL, NULL},
    {"cm_uninstall", cm_uninstall, CM_OK, install_again, install_again},
};

static void *taken;

/* Takes what the heap has, in ever smaller blocks; each holds the address of the one before. */
static void fill(void) {
    for (size_t size = 1 << 24; size >= sizeof(void *); size /= 2)
        for (void **block; (block = malloc(size)); taken = block)
            *block = taken;
}

static void empty(void) {
    while (taken) {
        void *block = taken;
        taken = *(void **)block;
        free(block);
    }
}

static struct round {
    const struct call *call;
    int full;
    cm_status status;
    char message[4096];
} round_;

static void *in_a_new_thread(void *at) {
    if (round_.full)
        fill();
    failing.calls = 0;
    failing.at = *(unsigned *)at;
    round_.status = round_.call->function();
    const char *message = cm_last_error();
    failing.at = 0;
    strncpy(round_.message, message, sizeof round_.message - 1);
    if (round_.full)
        empty();
    return NULL;
}

static void make(const struct call *call, unsigned at) {
    pthread_t thread;
    round_.call = call;
    if (call->before)
        call->before();
    if (pthread_create(&thread, NULL, in_a_new_thread, &at))
        exit(4);
    pthread_join(thread, NULL);
    if (call->after && (round_.status == call->expected))
        call->after();
}

int run(const char *where, const char *mode) {
    snprintf(dump_dir, sizeof dump_dir, "%s", where);
    snprintf(other_dir, sizeof other_dir, "%s/other", where);
    snprintf(monitor_log, sizeof monitor_log, "%s/monitor.log", where);
    check(cm_config_new(dump_dir, NULL, &config));
    int full = !strcmp(mode, "full");
    failing.from_then_on = !strcmp(mode, "on");
    struct rlimit limit = {256 << 20, 256 << 20};
    if (full && setrlimit(RLIMIT_AS, &limit))
        return 4;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct call *call = &calls[i];
        unsigned at = 0, failed = 0;
        do {
            at++;
            /* The test reads the last of these lines where this process is aborted. */
            say("call %s %u", call->name, at);
            round_.full = full;
            make(call, full ? 0 : at);
            unsigned had = failing.calls;
            if (round_.status < 0 && !*round_.message) {
                say("no message for status %d", (int)round_.status);
                return 5;
            }
            if (round_.status != call->expected) {
                say("status %d instead of %d: %s", (int)round_.status, (int)call->expected, round_.message);
                failed++;
            }
            /* With memory it works. */
            round_.full = 0;
            make(call, 0);
            if (round_.status != call->expected) {
                say("afterwards %d: %s", (int)round_.status, round_.message);
                return 6;
            }
            if (had < at)
                break;
        } while (!full);
        say("rounds %s %u failed %u", call->name, at, failed);
    }
    check(cm_uninstall());
    say("done");
    return 0;
}
