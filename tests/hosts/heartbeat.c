/* A host that promises a heartbeat within 200 ms. "alive" keeps the promise and says "beaten" once a second; "silent" does
 * not. Usage: heartbeat DUMP_DIR - KIND
 */
#include "crash.h"
#include <time.h>

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    check(cm_install(argv[1], NULL));
    check(cm_heartbeat_start(200));
    ready();
    if (!strcmp(argv[3], "silent")) {
        wait_for_line();
        return 0;
    }
    struct timespec pause = {0, 10 * 1000 * 1000};
    for (int beats = 1;; beats++) {
        check(cm_heartbeat());
        nanosleep(&pause, NULL);
        if (beats % 100 == 0)
            say("beaten");
    }
}
