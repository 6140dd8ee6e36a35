/* A host whose threads crash at the same instant. Usage: together DUMP_DIR - KIND THREADS, see crash.h
 * KIND is crash, or recover: then a handler that was there before us makes each thread go on.
 */
#include "crash.h"

#include <setjmp.h>

static volatile int arrived, go;
static __thread sigjmp_buf recovery;

static void jump(int signal) {
    (void)signal;
    siglongjmp(recovery, 1);
}

static void *crash_with_the_others(void *unused) {
    check(cm_thread_init());
    if (sigsetjmp(recovery, 1))
        return unused;
    __sync_fetch_and_add(&arrived, 1);
    while (!go)
        ;
    crash_segv();
    return unused;
}

int main(int argc, char **argv) {
    enum { THREADS_MAX = 64 };
    pthread_t threads[THREADS_MAX];
    int count = argc > 4 ? atoi(argv[4]) : 0;
    if (count < 1 || count > THREADS_MAX)
        return 2;
    if (!strcmp(argv[3], "recover")) {
        struct sigaction action = {0};
        action.sa_handler = jump;
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGSEGV, &action, NULL);
    }
    check(cm_install(argv[1], NULL));
    for (int i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, crash_with_the_others, NULL);
    while (arrived < count)
        ;
    ready();
    go = 1;
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    say("recovered");
    return 0;
}
