/* A host that crashes in the place and the way it is told. Usage: crashes DUMP_DIR - PLACE HOW, see crash.h
 * PLACE is main, thread, child, child-thread or own-handler; it waits for a line before it crashes.
 */
#include "crash.h"

static void *wait_and_crash(void *how) {
    check(cm_thread_init());
    ready();
    wait_for_line();
    crash(how);
    return NULL;
}

/* What a careless program does in its own handler. */
static void allocate(int number) {
    void *volatile memory = malloc(100);
    free(memory);
    signal(number, SIG_DFL);
}

static void set_own_handler(void) {
    struct sigaction action = {0};
    action.sa_handler = allocate;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &action, NULL);
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    const char *place = argv[3], *how = argv[4];
    if (!strcmp(place, "own-handler"))
        set_own_handler();
    check(cm_install(argv[1], NULL));
    if (!strncmp(place, "child", 5)) {
        pid_t child = fork();
        if (child != 0) {
            int status = 0;
            waitpid(child, &status, 0);
            say("child %d signal %d exit %d", (int)child, WTERMSIG(status), WEXITSTATUS(status));
            return 0;
        }
    }
    if (strstr(place, "thread"))
        run_thread(wait_and_crash, how);
    else
        wait_and_crash((void *)how);
    return 0;
}
