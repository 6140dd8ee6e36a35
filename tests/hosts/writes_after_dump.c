/* A C host whose own handler, set before cm_install, writes to attached files after the dump. KIND is the directory with the
 * files, see tests/attachments.rs. See also crash.h. */
#include "crash.h"
#include <fcntl.h>

static int in_memory, on_disk;
static char later[4096];

static void put(int fd, const char *words) {
    if (write(fd, words, strlen(words)) < 0)
        _exit(4);
}

static void writes_after_dump(int signal) {
    (void)signal;
    put(in_memory, "in memory\n");
    put(on_disk, "after\n");
    put(open(later, O_CREAT | O_WRONLY, 0600), "later\n");
    /* SA_RESETHAND: the fault comes again and ends the process. */
}

static void attach(const char *directory, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    check(cm_attach_file(path));
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    struct sigaction action = {.sa_handler = writes_after_dump, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGSEGV, &action, NULL);
    check(cm_install(argv[1], NULL));

    char path[4096];
    snprintf(path, sizeof path, "%s/server.log", argv[3]);
    on_disk = open(path, O_WRONLY | O_APPEND);
    snprintf(later, sizeof later, "%s/later.txt", argv[3]);
    in_memory = memfd_create("words.txt", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", in_memory);
    check(cm_attach_file(path));
    attach(argv[3], "server.log");
    attach(argv[3], "other/server.log");
    attach(argv[3], "later.txt");
    attach(argv[3], "empty.txt");
    attach(argv[3], "dmp");
    ready();
    crash_segv();
}
