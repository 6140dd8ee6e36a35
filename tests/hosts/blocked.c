/* A host that has the crash signals blocked where it crashes, or had them. Usage: blocked DUMP_DIR - KIND [HOW], see crash.h
 */
#include "crash.h"

static const char *dump_dir;

static void block_all(void) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
}

/* Says which signals the thread has blocked. */
static void say_blocked(void) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    printf("blocked");
    for (int signal = 1; signal < 32; signal++)
        if (sigismember(&blocked, signal) == 1)
            printf(" %d", signal);
    say(" .");
}

/* The signals were blocked before, in the thread that made this one. */
static void *crash_in_any_thread(void *how) {
    say_blocked();
    ready();
    crash(how);
    return NULL;
}

static void *block_and_crash(void *how) {
    block_all();
    return crash_in_any_thread(how);
}

static volatile int main_has_returned;

/* While pthread_create(3) runs, glibc has blocked all signals in the thread that calls it. */
static void *block_and_crash_later(void *how) {
    while (!main_has_returned)
        ;
    return block_and_crash(how);
}

static void *init_and_crash(void *how) {
    check(cm_thread_init());
    return crash_in_any_thread(how);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    dump_dir = argv[1];
    const char *kind = argv[3], *how = argc > 4 ? argv[4] : "segv";
    if (!strcmp(kind, "installs")) {
        block_all();
        check(cm_install(dump_dir, NULL));
        say("message %s", cm_last_error());
        crash_in_any_thread((void *)how);
    }
    if (!strcmp(kind, "pending")) {
        block_all();
        raise(SIGABRT);
        check(cm_install(dump_dir, NULL));
        say("message %s", cm_last_error());
        say_blocked();
        check(cm_uninstall());
        _exit(7);
    }
    check(cm_install(dump_dir, NULL));
    say("message %s", cm_last_error());
    if (!strcmp(kind, "initialises")) {
        block_all();
        run_thread(init_and_crash, how);
    } else if (!strcmp(kind, "inherits")) {
        block_all();
        run_thread(crash_in_any_thread, how);
    } else if (!strcmp(kind, "main")) {
        block_and_crash((void *)how);
    } else if (!strcmp(kind, "thread")) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, block_and_crash_later, (void *)how) != 0)
            return 5;
        main_has_returned = 1;
        pthread_join(thread, NULL);
    }
    return 2;
}
