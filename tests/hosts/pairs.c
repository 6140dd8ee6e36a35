/* A host that installs and uninstalls many times. Usage: pairs DUMP_DIR - KIND ROUNDS, see crash.h
 * KIND is race: two threads, one for each, at the same time; or growth: one thread, which says what it has cost.
 */
#include "crash.h"

#include <malloc.h>

static const char *dump_dir;
static int rounds;
static pthread_barrier_t barrier;
static int refused, told_ok;

static void *install_each_round(void *unused) {
    for (int i = 0; i < rounds; i++) {
        pthread_barrier_wait(&barrier);
        cm_status status = cm_install(dump_dir, NULL);
        told_ok += status == CM_OK;
        if (status != CM_OK)
            say("install %d %s", (int)status, cm_last_error()), refused++;
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return unused;
}

/* The last one has the say: after both, the process is armed or it is not installed, and nothing in between. */
static void race(void) {
    int armed = 0, not_installed = 0, torn = 0;
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, install_each_round, NULL);
    for (int i = 0; i < rounds; i++) {
        pthread_barrier_wait(&barrier);
        cm_uninstall();
        pthread_barrier_wait(&barrier);
        struct sigaction action;
        sigaction(SIGSEGV, NULL, &action);
        cm_status status = cm_is_armed();
        int has_handler = action.sa_handler != SIG_DFL;
        armed += status == CM_OK && has_handler;
        not_installed += status == CM_ERR_NOT_INSTALLED && !has_handler;
        torn += status == CM_OK ? !has_handler : status != CM_ERR_NOT_INSTALLED || has_handler;
        pthread_barrier_wait(&barrier);
    }
    pthread_join(thread, NULL);
    say("refused %d", refused);
    say("told ok %d", told_ok);
    say("torn %d", torn);
    say("armed %d", armed);
    say("not installed %d", not_installed);
}

static long address_space(void) {
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%ld", &pages) != 1)
        exit(5);
    fclose(statm);
    return pages * sysconf(_SC_PAGESIZE);
}

static void install_and_uninstall(int times) {
    for (int i = 0; i < times; i++) {
        check(cm_install(dump_dir, NULL));
        check(cm_uninstall());
    }
}

static void growth(void) {
    install_and_uninstall(5);
    long space = address_space();
    size_t heap = mallinfo2().uordblks;
    install_and_uninstall(rounds);
    say("address space %ld", address_space() - space);
    say("heap %ld", (long)mallinfo2().uordblks - (long)heap);
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    dump_dir = argv[1];
    rounds = atoi(argv[4]);
    if (!strcmp(argv[3], "race"))
        race();
    else
        growth();
    check(cm_install(dump_dir, NULL));
    ready();
    crash_segv();
    return 0;
}
