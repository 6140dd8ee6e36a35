/*
 The smallest program that crash-monitor watches: it arms itself, then crashes three calls below main.

     cc -g minimal.c -o minimal -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor
     ./minimal crashes
 where DIST is the absolute path of the directory with crash-monitor's include and lib.

 Expect "Segmentation fault", as without crash-monitor, and crashes/minimal-<unix time>-<pid>.dmp, whose stack trace reads
 read_entry, parse_config, load_settings, main.
 */
#include <crash_monitor.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
    const char *text;
    int *value;
};

static void read_entry(const struct entry *entry) {
    *entry->value = atoi(entry->text);
}

static void parse_config(const char *text) {
    struct entry timeout = {text, (int *)0xdead000}; /* A pointer to nothing: the mistake. */
    read_entry(&timeout);
}

static void load_settings(void) {
    parse_config("30");
}

int main(int argc, char **argv) {
    cm_status status;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DUMP_DIR\n", argv[0]);
        return 2;
    }
    status = cm_install(argv[1], NULL);
    if (status != CM_OK) {
        fprintf(stderr, "%s\n%s\n", cm_status_text(status), cm_last_error());
        return 1;
    }
    load_settings();
    return 0;
}
