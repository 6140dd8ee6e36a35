/* A host whose threads crash at the same instant. Usage: crash_at_once DUMP_DIR - KIND THREADS, see crash.h
 * KIND is crash; or recover: then a handler that was there before us makes each thread go on; or recover-below: then
 * another one, set after cm_install, passes on to ours, too.
 */
#include "crash.h"

#include <setjmp.h>

static volatile int arrived, go;
static __thread sigjmp_buf recovery;

static void jump(int signal) {
    (void)signal;
    siglongjmp(recovery, 1);
}

static struct sigaction replaced;

static void chain(int signal, siginfo_t *info, void *context) { replaced.sa_sigaction(signal, info, context); }

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
    struct sigaction jumping = {.sa_handler = jump, .sa_flags = SA_ONSTACK};
    struct sigaction chaining = {.sa_sigaction = chain, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (!strncmp(argv[3], "recover", 7))
        sigaction(SIGSEGV, &jumping, NULL);
    check(cm_install(argv[1], NULL));
    if (!strcmp(argv[3], "recover-below"))
        sigaction(SIGSEGV, &chaining, &replaced);
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
