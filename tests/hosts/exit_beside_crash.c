/* A thread crashes while main ends the process: main is in a function of atexit(3), which returns as soon as there is a dump.
 * Without the library the fault would have ended the process before. Usage: exit_beside_crash DUMP_DIR - THREADS [HANDLER]
 *
 * HANDLER is one of the program's own, which comes after the library's: "ends" ends the process with status 42 when the
 * others have had a chance to end it before; "needs-main" ends it once main has run on, with status 43.
 */
#include "crash.h"
#include <dirent.h>
#include <time.h>

static const char *directory;
static volatile int exiting, handled;

static int dump_is_there(void) {
    DIR *entries = opendir(directory);
    int found = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        found |= strstr(entry->d_name, ".dmp") != NULL;
    if (entries)
        closedir(entries);
    return found;
}

static void at_exit(void) {
    exiting = 1;
    while (!dump_is_there())
        ;
}

static void end_at_leisure(int signal) {
    (void)signal;
    /* A tenth of a second: main needs less than a thousandth. */
    struct timespec pause = {0, 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
    _exit(42);
}

/* Main, in its function of atexit(3), goes on once it is asked to. */
static void wait_for_main(int signal) {
    (void)signal;
    handled = 1;
    for (;;)
        pause();
}

static void answer(void) {
    exiting = 1;
    while (!handled)
        ;
    _exit(43);
}

static void *crash_at_exit(void *unused) {
    (void)unused;
    ready();
    while (!exiting)
        ;
    crash_segv();
    return NULL;
}

static void *idle(void *unused) {
    for (;;)
        pause();
    return unused;
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    directory = argv[1];
    int needs_main = argc > 4 && !strcmp(argv[4], "needs-main");
    if (argc > 4)
        signal(SIGSEGV, needs_main ? wait_for_main : end_at_leisure);
    check(cm_install(directory, NULL));
    atexit(needs_main ? answer : at_exit);
    pthread_t thread;
    for (int i = atoi(argv[3]); i > 0; i--)
        if (pthread_create(&thread, NULL, idle, NULL) != 0)
            return 5;
    pthread_create(&thread, NULL, crash_at_exit, NULL);
    return 0;
}
