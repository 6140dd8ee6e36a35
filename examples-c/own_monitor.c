/*
 A program that is its own monitor: linked with libcrash_monitor.a, it is all that has to be shipped.

     cc -g own_monitor.c -o own_monitor -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor
     ./own_monitor crashes
 where DIST is the absolute path of the directory with crash-monitor's include and lib.

 cm_install starts this program a second time, with a command line that makes cm_run_monitor serve there.

 Expect "Segmentation fault" and crashes/own_monitor-<unix time>-<pid>.dmp. The fault address in it is 0x40, where
 `requests` lies in a struct at NULL. The monitor ends by itself after the program.
 */
#include <crash_monitor.h>
#include <stdio.h>

struct session {
    char user[64];
    int requests;
};

static void count_request(struct session *session) {
    session->requests++;
}

static struct session *find_session(void) {
    return NULL; /* There is none: the mistake is not to check for it. */
}

int main(int argc, char **argv) {
    /* First, before the program opens files, starts threads or looks at its arguments. */
    cm_status status = cm_run_monitor();
    if (status != CM_NOT_A_MONITOR)
        return status == CM_OK ? 0 : 1;

    if (argc != 2) {
        fprintf(stderr, "usage: %s DUMP_DIR\n", argv[0]);
        return 2;
    }
    status = cm_install(argv[1], NULL);
    if (status != CM_OK) {
        fprintf(stderr, "%s\n%s\n", cm_status_text(status), cm_last_error());
        return 1;
    }
    count_request(find_session());
    return 0;
}
