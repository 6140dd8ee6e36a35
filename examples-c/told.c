/*
 A server that tells what it is doing, so that its dumps do: annotations, its log, a piece of its memory, a dump on demand.

     cc -g told.c -o told -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor
     ./told crashes
     crash-monitor show crashes/told-*.dmp

 Expect two dumps in crashes: one of the slow request, after which the server goes on, and one of the crash, which says
 under "Note" which request it was. Beside each lies a copy of the log, told-<unix time>-<pid>.told.log; after the crash
 with the line that the server's own handler still writes.
 */
#define _POSIX_C_SOURCE 200809L
#include <crash_monitor.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What was served last: small, of fixed size, and worth more than a stack trace. */
static struct {
    unsigned served;
    char last[64];
} history;

static int log_file;

static void write_log(const char *line) {
    if (write(log_file, line, strlen(line)) < 0)
        perror("the log");
}

/* The server's own handler gets its turn after the dump; what it writes into the log is attached too. */
static void say_goodbye(int number) {
    (void)number;
    write_log("crashed\n");
}

static void check(cm_status status) {
    if (status == CM_OK)
        return;
    fprintf(stderr, "%s\n%s\n", cm_status_text(status), cm_last_error());
    exit(1);
}

static void serve(const char *request, const char *body) {
    check(cm_set_annotation("request", request)); /* The same key again replaces the value. */
    write_log(request);
    write_log("\n");
    if (!strcmp(request, "slow")) {
        const char *path;
        check(cm_dump_now("a request takes too long", &path)); /* The server goes on. */
        write_log("dumped to ");
        write_log(path);
        write_log("\n");
    }
    history.served += (unsigned)strlen(body); /* NULL for the last one: the mistake. */
    strcpy(history.last, request);
}

int main(int argc, char **argv) {
    struct sigaction action;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DUMP_DIR\n", argv[0]);
        return 2;
    }
    log_file = open("told.log", O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    memset(&action, 0, sizeof action);
    action.sa_handler = say_goodbye;
    action.sa_flags = (int)SA_RESETHAND; /* Then the fault comes again and ends the process. */
    sigaction(SIGSEGV, &action, NULL);

    check(cm_install(argv[1], NULL));
    check(cm_set_annotation("version", "1.4.2"));
    check(cm_attach_file("told.log"));
    check(cm_add_memory(&history, sizeof history));
    serve("quick", "hello");
    serve("slow", "world");
    serve("broken", NULL);
    return 0;
}
