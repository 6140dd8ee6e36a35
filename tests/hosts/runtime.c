/* A host whose own SIGSEGV handler deals with some faults, as language runtimes do: a thousand of these, then a crash.
 * Usage: runtime DUMP_DIR - KIND strategy|code, see crash.h; or runtime DUMP_DIR - ranges
 */
#include "crash.h"

#include <setjmp.h>
#include <ucontext.h>

enum { FAULTS = 1000, ERRNO = 1234 };

/* Reads an int; gives -1 where a handler has made the thread go on at load_recovers. */
int load(const int *address);
extern char load_recovers[], load_end[];
#if defined(__x86_64__)
#define LOAD "movl (%rdi), %eax"
#define GIVE_UP "movl $-1, %eax"
#define PROGRAM_COUNTER(context) ((ucontext_t *)(context))->uc_mcontext.gregs[REG_RIP]
#elif defined(__aarch64__)
#define LOAD "ldr w0, [x0]"
#define GIVE_UP "mov w0, #-1"
#define PROGRAM_COUNTER(context) ((ucontext_t *)(context))->uc_mcontext.pc
#endif
__asm__(".text\n.globl load\nload: " LOAD "\n ret\n"
        ".globl load_recovers\nload_recovers: " GIVE_UP "\n ret\n"
        ".globl load_end\nload_end:\n");

static const char *kind;
static sigjmp_buf recovery;

static int is_in_load(void *context) {
    char *instruction = (char *)PROGRAM_COUNTER(context);
    return instruction >= (char *)load && instruction < load_end;
}

static void recover(void *context) {
    PROGRAM_COUNTER(context) = (uintptr_t)load_recovers;
}

/* A fault that is not the runtime's comes once more, to nobody: so do V8 and others. */
static void move(int number, siginfo_t *info, void *context) {
    (void)info;
    if (is_in_load(context))
        recover(context);
    else
        signal(number, SIG_DFL);
}

static void leave(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)info;
    if (is_in_load(context))
        recover(context);
}

static void jump(int number, siginfo_t *info, void *context) {
    (void)info;
    if (is_in_load(context))
        siglongjmp(recovery, 1);
    signal(number, SIG_DFL);
}

/* Probes memory, which faults, before it looks at the fault that it was called for. */
static void nested(int number, siginfo_t *info, void *context) {
    static volatile int probing;
    if (probing) {
        recover(context);
        return;
    }
    probing = 1;
    if (load((const int *)0x2000) != -1)
        _exit(6);
    probing = 0;
    move(number, info, context);
}

static void set_handler(void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction action = {0};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | flags;
    sigaction(SIGSEGV, &action, NULL);
}

static int recovers(void) {
    if (!strcmp(kind, "jump") && sigsetjmp(recovery, 1))
        return 1;
    return load((const int *)0x1000) == -1;
}

static void add_ranges(void) {
    for (uintptr_t i = 1; i <= 17; i++)
        say("range %d %d", (int)i, (int)cm_add_runtime_code((void *)(i * 16), (void *)(i * 16 + 8)));
    say("message %s", cm_last_error());
    say("same %d", (int)cm_add_runtime_code((void *)16, (void *)24));
    say("empty %d", (int)cm_add_runtime_code((void *)24, (void *)24));
    say("null %d", (int)cm_add_runtime_code(NULL, (void *)24));
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    kind = argv[3];
    if (!strcmp(kind, "ranges")) {
        add_ranges();
        return 0;
    }
    if (!strcmp(kind, "move"))
        set_handler(move, 0);
    else if (!strcmp(kind, "leave"))
        set_handler(leave, 0);
    else if (!strcmp(kind, "jump"))
        set_handler(jump, 0);
    else
        set_handler(nested, SA_NODEFER);

    cm_config *config;
    check(cm_config_new(argv[1], NULL, &config));
    if (!strcmp(argv[4], "code"))
        check(cm_add_runtime_code((void *)load, load_end));
    else
        check(cm_config_set_strategy(config, CM_STRATEGY_PREVIOUS_FIRST));
    check(cm_install_with(config));
    cm_config_free(config);

    int recovered = 0;
    errno = ERRNO;
    for (int i = 0; i < FAULTS; i++)
        recovered += recovers();
    say("errno %d", errno);
    say("recovered %d of %d", recovered, FAULTS);
    say("armed %d", (int)cm_is_armed());
    ready();
    crash_segv();
    return 0;
}
