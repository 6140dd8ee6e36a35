/*
 A server whose dumps say what it was doing: annotations, the last lines of its log, its log file, a piece of its memory;
 and a dump on demand.

     cc -g server.c -o server -I$DIST/include -L$DIST/lib -Wl,-rpath,$DIST/lib -lcrash_monitor
     ./server crashes
     crash-monitor show crashes/server-*.dmp

 Expect two dumps in crashes: one of the slow request, after which the server goes on, and one of the crash. Both say under
 "Note" what was logged until then (log) and which request the thread served (thread.<thread id>.request). Beside each lies a
 copy of the log file, server-<unix time>-<pid>.server.log; after the crash with the line that the server's own handler still
 writes.
 */
#define _POSIX_C_SOURCE 200809L
#include <crash_monitor.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
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

static void check(cm_status status) {
    if (status == CM_OK)
        return;
    fprintf(stderr, "%s\n%s\n", cm_status_text(status), cm_last_error());
    exit(1);
}

/* A line for the log file, and for the log that dumps hold: that costs 0.2 microseconds, and is there after SIGKILL too. */
static void note(uint32_t level, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    check(cm_log(level, line, strlen(line)));
    write_log(line);
    write_log("\n");
}

/* The server's own handler gets its turn after the dump; what it writes into the log file is attached too. */
static void say_goodbye(int number) {
    (void)number;
    write_log("crashed\n");
}

static void serve(const char *request, const char *body) {
    check(cm_set_thread_annotation("request", request)); /* Of this thread; others serve other requests. */
    note(CM_LOG_INFO, "serving %s", request);
    if (!strcmp(request, "slow")) {
        const char *path;
        check(cm_dump_now("a request takes too long", &path)); /* The server goes on. */
        note(CM_LOG_WARNING, "dumped to %s", path);
    }
    history.served += (unsigned)strlen(body); /* NULL for the last one: the mistake. */
    strcpy(history.last, request);
    check(cm_set_thread_annotation("request", NULL)); /* Served. */
}

int main(int argc, char **argv) {
    struct sigaction action;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DUMP_DIR\n", argv[0]);
        return 2;
    }
    log_file = open("server.log", O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    memset(&action, 0, sizeof action);
    action.sa_handler = say_goodbye;
    action.sa_flags = (int)SA_RESETHAND; /* Then the fault comes again and ends the process. */
    sigaction(SIGSEGV, &action, NULL);

    check(cm_install(argv[1], NULL));
    check(cm_set_annotation("version", "1.4.2"));
    check(cm_attach_file("server.log"));
    check(cm_add_memory(&history, sizeof history));
    serve("quick", "hello");
    serve("slow", "world");
    serve("broken", NULL);
    return 0;
}
