/* A host that ends without a crash, in the way that its KIND says, once it has read a line. Usage: endings DUMP_DIR - KIND
 * [STATUS], see crash.h
 */
#include "crash.h"

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    int status = argc > 4 ? atoi(argv[4]) : 0;
    check(cm_install(argv[1], NULL));
    ready();
    wait_for_line();
    if (!strcmp(kind, "return"))
        return status;
    if (!strcmp(kind, "exit"))
        exit(status);
    if (!strcmp(kind, "_exit"))
        _exit(status);
    if (!strcmp(kind, "uninstall")) {
        check(cm_uninstall());
        _exit(status);
    }
    if (!strcmp(kind, "again")) {
        /* All of it waits for the monitor. */
        for (int i = 0; i < 20; i++)
            check(cm_heartbeat_start(60000));
        check(cm_uninstall());
        say("installing");
        check(cm_install(argv[1], NULL));
        ready();
        wait_for_line();
    }
    if (!strcmp(kind, "exec"))
        /* The new program reads the next line and ends with SIGKILL, which is no business of ours. */
        execl("/bin/sh", "sh", "-c", "echo replaced; read line; kill -KILL $$", (char *)NULL);
    return 2;
}
