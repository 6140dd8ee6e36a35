/* A host whose crashing thread is cancelled while the handler runs. Usage: cancelled_crash DUMP_DIR - HOW, see crash.h */
#include "crash.h"

static pthread_t crashing;
static volatile int in_handler, cancelled;

/* Runs in the handler: waits until the thread is cancelled. */
static int on_crash(int signal, const void *info, const void *context, void *data) {
    (void)signal, (void)info, (void)context, (void)data;
    in_handler = 1;
    while (!cancelled)
        ;
    return 0;
}

static void *run(void *how) {
    int before;
    check(cm_thread_init());
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
    ready();
    crash(how);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    check(cm_config_set_crash_callback(config, on_crash, NULL));
    check(cm_install_with(config));
    cm_config_free(config);
    pthread_create(&crashing, NULL, run, argv[3]);
    while (!in_handler)
        ;
    pthread_cancel(crashing);
    cancelled = 1;
    pthread_join(crashing, NULL);
    say("survived");
    return 0;
}
