/* A host in a sandbox that refuses system calls from when it has installed. Usage: refused DUMP_DIR - HOW END CALL..., see
 * crash.h. END is what becomes of a refused CALL: an errno (EPERM, ENOSYS), or trap, or kill.
 */
#include "crash.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

static const struct {
    const char *name;
    long number;
} CALLS[] = {
    {"rt_sigaction", SYS_rt_sigaction},
    {"rt_sigprocmask", SYS_rt_sigprocmask},
    {"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo},
    {"tgkill", SYS_tgkill},
    {"kill", SYS_kill},
    {"clock_gettime", SYS_clock_gettime},
    {"ppoll", SYS_ppoll},
    {"sendmsg", SYS_sendmsg},
    {"recvfrom", SYS_recvfrom},
    {"prctl", SYS_prctl},
    {"fstat", SYS_fstat},
    {"getpid", SYS_getpid},
    {"gettid", SYS_gettid},
    {"socket", SYS_socket},
    {"futex", SYS_futex},
};

static void refuse(const char *name, unsigned end) {
    long number = -1;
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++)
        if (!strcmp(CALLS[i].name, name))
            number = CALLS[i].number;
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, end),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof instructions / sizeof *instructions, instructions};
    /* prctl(2) may be one of those that are refused by now. */
    if (number < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter))
        exit(5);
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    const char *end = argv[4];
    unsigned action = SECCOMP_RET_ERRNO | EPERM;
    if (!strcmp(end, "ENOSYS"))
        action = SECCOMP_RET_ERRNO | ENOSYS;
    else if (!strcmp(end, "trap"))
        action = SECCOMP_RET_TRAP;
    else if (!strcmp(end, "kill"))
        action = SECCOMP_RET_KILL_PROCESS;
    check(cm_install(argv[1], NULL));
    ready();
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return 5;
    for (int i = 5; i < argc; i++)
        refuse(argv[i], action);
    crash(argv[3]);
    return 0;
}
