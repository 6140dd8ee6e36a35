#include "callback.h"

#include <crash_monitor.h>
#include <pthread.h>
#include <stdlib.h>

#include "_cgo_export.h"

void callback_here(void)
{
    goCallback();
}

static void *run(void *signal_stack)
{
    if (signal_stack && cm_thread_init() != CM_OK)
        abort();
    goCallback();
    return NULL;
}

static void run_in_thread(void *signal_stack)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, signal_stack) != 0)
        abort();
    pthread_join(thread, NULL);
}

void callback_in_thread(void)
{
    run_in_thread(NULL);
}

void callback_in_thread_with_signal_stack(void)
{
    run_in_thread("yes");
}
