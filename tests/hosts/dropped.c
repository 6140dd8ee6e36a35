/* A host whose child, or which itself, gives up rights by its KIND after it has installed, and then crashes. See crash.h.
 * Usage: dropped DUMP_DIR - WHO KIND [FILE] */
#include "crash.h"

#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* A user without a name and without processes. */
enum { COMMONER = 54321 };

static const char *dump_dir;
/* Sockets that are none of ours. */
static int stranger[2];

static void require(int holds, const char *what) {
    if (holds)
        return;
    say("failed %s: %s", what, strerror(errno));
    exit(4);
}

static void become_commoner(void) {
    require(!setgroups(0, NULL) && !setresgid(COMMONER, COMMONER, COMMONER) && !setresuid(COMMONER, COMMONER, COMMONER),
            "become another user");
}

static void give_up(const char *kind) {
    if (!strcmp(kind, "user")) {
        become_commoner();
    } else if (!strcmp(kind, "root-directory")) {
        require(!chroot(dump_dir) && !chdir("/"), "chroot");
    } else if (!strcmp(kind, "mounts")) {
        require(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
                    !mount("none", "/tmp", "tmpfs", 0, NULL),
                "an empty /tmp");
    } else if (!strcmp(kind, "user-names")) {
        require(!unshare(CLONE_NEWUSER), "a user name space");
    } else if (!strcmp(kind, "descriptors")) {
        /* What was ours is now a stranger's. */
        for (int fd = 3; fd < 256; fd++)
            require(dup2(stranger[0], fd) == fd, "dup2");
    } else if (strcmp(kind, "nothing") && strcmp(kind, "process-names")) {
        exit(2);
    }
}

static void crash_with_less(const char *kind) {
    give_up(kind);
    check(cm_set_annotation("rights", kind));
    crash_segv();
}

/* Its own user may attach what it likes; its monitor belongs to root still. */
static void crash_with_file(const char *kind, const char *file) {
    give_up(kind);
    check(cm_attach_file(file));
    ready();
    crash_segv();
}

/* Where its user may rename the dump directory, another one takes its place. */
static void crash_after_swap(const char *kind, const char *directory) {
    char moved[4096];
    snprintf(moved, sizeof moved, "%s.moved", dump_dir);
    give_up(kind);
    require(!rename(dump_dir, moved) && !symlink(directory, dump_dir), "swap the directories");
    crash_with_file("nothing", "/proc/self/exe");
}

/* What code that has taken over the process can do with its connections, one of which has said nothing yet: say hello, with
 * another directory. */
static void redirect(const char *kind, const char *directory) {
    int silent = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/monitor.sock", dump_dir);
    require(!connect(silent, (struct sockaddr *)&address, sizeof address), "connect");
    give_up(kind);
    uint32_t numbers[] = {5, 0, CM_TEST_PROTOCOL, 100, 0, 10000, 1 << 30, 0, 0, 0};
    uint32_t length = (uint32_t)strlen(directory), name = 3, pid = (uint32_t)getpid();
    char message[4096], *end = message;
    end = mempcpy(end, numbers, sizeof numbers);
    end = mempcpy(end, &length, sizeof length);
    end = mempcpy(end, directory, length);
    end = mempcpy(end, &name, sizeof name);
    end = mempcpy(end, "own", name);
    end = mempcpy(end, &pid, sizeof pid);
    uint32_t payload = (uint32_t)(end - message - 8);
    memcpy(message + 4, &payload, sizeof payload);
    for (int fd = 3; fd < 256; fd++) {
        int type = 0;
        socklen_t size = sizeof type;
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET)
            continue;
        require(send(fd, message, (size_t)(end - message), MSG_NOSIGNAL) == end - message, "send");
        say("answer %d", recv(fd, message, sizeof message, MSG_PEEK) > 0);
    }
    ready();
    crash_segv();
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    const char *who = argv[3], *kind = argv[4];
    dump_dir = argv[1];
    check(cm_set_annotation("set", "before the fork"));
    check(cm_install(dump_dir, NULL));
    if (!strcmp(who, "waits")) {
        ready();
        wait_for_line();
        return 0;
    }
    if (!strcmp(who, "attaches"))
        crash_with_file(kind, argv[5]);
    if (!strcmp(who, "swaps"))
        crash_after_swap(kind, argv[5]);
    if (!strcmp(who, "redirects"))
        redirect(kind, argv[5]);

    if (!strcmp(kind, "process-names"))
        require(!unshare(CLONE_NEWPID), "a process name space");
    require(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, stranger), "socketpair");
    pid_t child = fork();
    require(child >= 0, "fork");
    if (!strcmp(who, "orphan")) {
        if (child) {
            say("child %d", (int)child);
            _exit(0);
        }
        wait_for_line();
        crash_with_less(kind);
    }
    if (!child) {
        if (!strcmp(who, "child-attaches"))
            crash_with_file(kind, argv[5]);
        crash_with_less(kind);
    }
    int status = 0;
    waitpid(child, &status, 0);
    say("child %d signal %d", (int)child, WTERMSIG(status));
    close(stranger[0]);
    char message;
    require(recv(stranger[1], &message, 1, MSG_DONTWAIT) == 0, "nothing for the stranger");
    return 0;
}
