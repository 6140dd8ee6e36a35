/* A host whose threads get real-time signals, from another thread of it, while it is dumped. Usage: queued DUMP_DIR - DUMPS
 * It says how many signals were queued until the last dump was there, and how many of them have arrived.
 */
#include "crash.h"
#include <stdatomic.h>

static atomic_int queued, arrived, wrong, dumped, done;

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    /* What a tracer puts in itself has not the sender's value. */
    if (info->si_value.sival_int < 1 || info->si_value.sival_int > atomic_load(&queued) + 1)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&arrived, 1);
}

/* Not sched_yield(2): with so many threads that are always runnable, the monitor may get no turn for seconds where there is
 * one processor. */
static void pause_shortly(void) { usleep(50); }

static void *run(void *unused) {
    while (!atomic_load(&done))
        pause_shortly();
    return unused;
}

static void *queue(void *unused) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (int i = 1; !atomic_load(&dumped); i++) {
        union sigval value = {.sival_int = i};
        while (sigqueue(getpid(), SIGRTMIN + 3, value)) {
            if (errno != EAGAIN)
                exit(4);
            pause_shortly();
        }
        atomic_store(&queued, i);
        /* As fast as they are taken: so each dump meets some on their way. */
        while (i - atomic_load(&arrived) > 32)
            pause_shortly();
    }
    return unused;
}

int main(int argc, char **argv) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS], queuing;
    if (argc < 4)
        return 2;
    struct sigaction action = {0};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigaction(SIGRTMIN + 3, &action, NULL);
    check(cm_install(argv[1], NULL));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, NULL);
    pthread_create(&queuing, NULL, queue, NULL);
    /* On a slow machine further ones, until as many signals were queued as say something. */
    for (int dumps = atoi(argv[3]); dumps > 0 || atomic_load(&queued) <= 1000; dumps--)
        check(cm_dump_now("signals are queued", NULL));
    atomic_store(&dumped, 1);
    pthread_join(queuing, NULL);
    /* What is still pending is a matter of moments; what is lost never comes. */
    for (int i = 0; i < 2000 && atomic_load(&arrived) < atomic_load(&queued); i++)
        usleep(1000);
    atomic_store(&done, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    say("queued %d arrived %d wrong %d", (int)queued, (int)arrived, (int)wrong);
    return 0;
}
