/* A host for sanitizers, clean but for how it ends. Usage: sanitized DUMP_DIR - KIND, see crash.h */
#include "crash.h"

#include <limits.h>

static void *init_thread(void *unused) {
    check(cm_thread_init());
    return unused;
}

/* All that an orderly program does with the library. */
static void use(const char *dump_dir) {
    for (int i = 0; i < 3; i++) {
        check(cm_install(dump_dir, NULL));
        check(cm_install(dump_dir, NULL));
        if (cm_install("/nonexistent/other", NULL) != CM_ERR_ALREADY_INSTALLED)
            exit(5);
        run_thread(init_thread, NULL);
        check(cm_uninstall());
    }
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    if (strcmp(kind, "install-only"))
        use(argv[1]);
    if (!strcmp(kind, "uninstalled"))
        return 0;
    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    check(cm_config_set_app_name(config, "sanitized"));
    check(cm_install_with(config));
    cm_config_free(config);
    if (!strncmp(kind, "install", 7))
        return 0;
    if (!strcmp(kind, "leak")) {
        void *volatile lost = malloc(1234);
        lost = NULL;
        return lost != NULL;
    }
    if (!strcmp(kind, "use-after-free")) {
        char *volatile memory = malloc(1);
        ready();
        free(memory);
        return *memory;
    }
    if (!strcmp(kind, "signed-overflow")) {
        volatile int most = INT_MAX;
        ready();
        return most + argc;
    }
    if (!strcmp(kind, "thread-overflow"))
        run_thread(crash_in_thread, "overflow");
    ready();
    crash(kind);
    return 0;
}
