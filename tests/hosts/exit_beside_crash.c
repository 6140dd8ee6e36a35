/* A thread crashes while main ends the process: main is in a function of atexit(3), which returns as soon as there is a dump.
 * Without the library the fault would have ended the process before. Usage: exit_beside_crash DUMP_DIR - THREADS
 */
#include "crash.h"
#include <dirent.h>

static const char *directory;
static volatile int exiting;

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
    check(cm_install(directory, NULL));
    atexit(at_exit);
    pthread_t thread;
    for (int i = atoi(argv[3]); i > 0; i--)
        if (pthread_create(&thread, NULL, idle, NULL) != 0)
            return 5;
    pthread_create(&thread, NULL, crash_at_exit, NULL);
    return 0;
}
