// chost <dump dir> <Go library> <steps> <way>: a C program that does the steps, "install" (crash-monitor) and "load"
// (the library), has the library recover from faults, and crashes.
#include <crash_monitor.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/crash.h"

static const char *dump_dir, *library;
static void *loaded;

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void install(void)
{
    if (cm_install(dump_dir, NULL) != CM_OK)
        fail(cm_last_error());
}

static void load(void)
{
    loaded = dlopen(library, RTLD_NOW);
    if (!loaded)
        fail(dlerror());
}

static void call(const char *name)
{
    void (*function)(void) = (void (*)(void))dlsym(loaded, name);

    if (!function)
        fail(dlerror());
    function();
}

static void *recover_faults(void *unused)
{
    call("golib_recover_faults");
    return unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc != 5)
        fail("usage: chost <dump dir> <Go library> <steps> <way>");
    dump_dir = argv[1];
    library = argv[2];
    for (char *step = strtok(argv[3], " "); step; step = strtok(NULL, " ")) {
        if (strcmp(step, "install") == 0)
            install();
        else
            load();
    }
    recover_faults(NULL);
    if (pthread_create(&thread, NULL, recover_faults, NULL) != 0)
        fail("pthread_create");
    pthread_join(thread, NULL);

    if (strcmp(argv[4], "host") == 0)
        crash_segv();
    else
        call(argv[4]);
}
