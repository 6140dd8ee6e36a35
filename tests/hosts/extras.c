/* The C host for what a program adds to its dumps. Usage: extras DUMP_DIR - KIND [ARGUMENT] */
#include "crash.h"

static char treasure[] = "gold, silver and copper";
static char rubbish[] = "straw, chaff and dust";

static volatile long laps;
static void *runner(void *unused) {
    (void)unused;
    for (;;)
        laps++;
    return NULL;
}

/* Statuses of calls that break a limit, one a line. */
static void break_limits(void) {
    static char long_text[32 * 1024];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[256] = 0;
    printf("key of 256: %d\n", cm_set_annotation(long_text, "v"));
    long_text[256] = 'x';
    long_text[257] = 0;
    printf("key of 257: %d\n", cm_set_annotation(long_text, "v"));
    long_text[257] = 'x';
    long_text[20480] = 0;
    printf("value of 20480: %d\n", cm_set_annotation("v", long_text));
    long_text[20480] = 'x';
    long_text[20481] = 0;
    printf("value of 20481: %d\n", cm_set_annotation("v", long_text));
    cm_status last = CM_OK;
    for (int i = 0; i < 64 && last == CM_OK; i++) {
        char key[16];
        snprintf(key, sizeof key, "key %d", i);
        last = cm_set_annotation(key, "value");
    }
    printf("too many: %d\n", last);
    printf("empty key: %d\n", cm_set_annotation("", "v"));
    printf("not UTF-8: %d\n", cm_set_annotation("k", "\xff"));
    printf("empty key of a length: %d\n", cm_set_annotation_n("k", 0, "v", 1));
    printf("not UTF-8 within a length: %d\n", cm_set_annotation_n("k", 1, "\xc3\xa4", 1));
    printf("absurd length: %d\n", cm_set_annotation_n("k", 1, "v", SIZE_MAX));
    printf("no memory: %d\n", cm_add_memory(treasure, 0));
    printf("much memory: %d\n", cm_add_memory(treasure, 1024 * 1024 + 1));
    printf("unknown memory: %d\n", cm_remove_memory(treasure));
    printf("no path: %d\n", cm_attach_file(""));
    printf("heartbeat not promised: %d\n", cm_heartbeat());
    printf("message: %s\n", cm_last_error());
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3], *argument = argc > 4 ? argv[4] : "";
    /* Before the install. */
    check(cm_set_annotation("early", "bird"));
    check(cm_install(argv[1], NULL));

    if (!strcmp(kind, "annotations")) {
        check(cm_set_annotation("colour", "red"));
        check(cm_set_annotation("colour", "green"));
        check(cm_set_annotation("gone", "soon"));
        check(cm_set_annotation("gone", NULL));
        check(cm_set_annotation("naïve", "ünïcode"));
        check(cm_set_annotation_n("not its end", 3, "neither this", 7));
        check(cm_set_annotation_n("nul\0key", 7, "nul\0value", 9));
        check(cm_set_annotation_n("empty", 5, "", 0));
        check(cm_set_annotation_n("left", 4, "out", 3));
        check(cm_set_annotation_n("left", 4, NULL, 0));
    } else if (!strcmp(kind, "attach")) {
        check(cm_attach_file(argument));
        check(cm_attach_file("/nonexistent/file"));
        check(cm_attach_file("/dev/zero"));
    } else if (!strcmp(kind, "memory")) {
        check(cm_add_memory(treasure, sizeof treasure));
        check(cm_add_memory(rubbish, sizeof rubbish));
        check(cm_remove_memory(rubbish));
        check(cm_add_memory((void *)0x10, 16));
    } else if (!strcmp(kind, "limits")) {
        break_limits();
        return 0;
    } else if (!strcmp(kind, "dump-now")) {
        pthread_t thread;
        pthread_create(&thread, NULL, runner, NULL);
        for (int i = 0; i < 3; i++) {
            const char *path = NULL;
            check(cm_dump_now("stock-taking", &path));
            say("dump %d %s", i, path);
            long before = laps;
            while (laps == before)
                ;
        }
        const char *path = "as it was";
        say("status of a long reason %d", cm_dump_now(memset(calloc(1, 2000), 'r', 1999), &path));
        say("path of a failure %s", path);
    } else if (!strcmp(kind, "dump-now-n")) {
        const char *path = NULL;
        check(cm_dump_now_n("with\0NUL and more", 8, &path));
        check(cm_dump_now_n(NULL, 0, NULL));
        say("dump %s", path);
        return 0;
    } else if (!strcmp(kind, "hang")) {
        check(cm_heartbeat_start(100));
        for (int i = 0; i < 5; i++)
            check(cm_heartbeat());
    } else if (!strcmp(kind, "stopped")) {
        ready();
        wait_for_line(); /* The monitor is stopped meanwhile. */
        cm_status status = CM_OK;
        for (int i = 0; i < 100000 && status == CM_OK; i++)
            status = cm_heartbeat_start(0);
        say("status %d", (int)status);
        say("message %s", cm_last_error());
        for (int i = 0; i < 100000; i++)
            check(cm_set_annotation("key", "value"));
        return 0;
    } else if (!strcmp(kind, "no-monitor")) {
        ready();
        wait_for_line(); /* The monitor is killed meanwhile, and there is none to be started. */
        for (int longest = 0, now; longest < 300;) {
            cm_status status = cm_heartbeat_start(0);
            const char *again = strstr(cm_last_error(), "tried again in ");
            if (!again) {
                say("failed %d", (int)status);
            } else if (sscanf(again, "tried again in %d", &now) == 1 && now > longest) {
                say("pause %d %d", (int)status, now);
                longest = now;
            }
        }
        return 0;
    } else if (!strcmp(kind, "reconnect")) {
        ready();
        wait_for_line(); /* The monitor is killed meanwhile. */
        check(cm_set_annotation("late", "riser"));
        check(cm_heartbeat_start(0));
    }
    ready();
    wait_for_line();
    if (!strcmp(kind, "hang")) {
        check(cm_heartbeat());
        ready();
        wait_for_line();
        check(cm_heartbeat_start(0));
    }
    crash_segv();
}
