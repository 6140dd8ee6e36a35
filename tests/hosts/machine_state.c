/* A host whose processor is in an unusual state when it crashes. Usage: machine_state DUMP_DIR - STATE HOW, see crash.h
 * STATE is plain, alignment-check, direction, thread-pointer-zero, thread-pointer-foreign or floats; HOW is segv,
 * misaligned or trap. It waits for a line before it crashes. x86-64 only.
 */
#include "crash.h"

#include <asm/prctl.h>

static void set_flag(unsigned long flag) {
    __asm__ volatile("pushfq\n orq %0, (%%rsp)\n popfq" ::"r"(flag) : "memory", "cc");
}

static void set_thread_pointer(unsigned long address) {
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)SYS_arch_prctl), "D"((long)ARCH_SET_FS), "S"(address)
                     : "rcx", "r11", "memory");
}

/* From here on no function is called: some need the state that is gone. */
__attribute__((noinline, optimize("no-stack-protector"))) static void crash_in(const char *state, const char *how) {
    static const unsigned words[4];
    const unsigned *misaligned = (const unsigned *)((const char *)words + 1);
    int alignment = !strcmp(state, "alignment-check"), direction = !strcmp(state, "direction");
    int zero = !strcmp(state, "thread-pointer-zero"), foreign = !strcmp(state, "thread-pointer-foreign");
    int segv = !strcmp(how, "segv"), trap = !strcmp(how, "trap");
    if (!strcmp(state, "floats")) {
        /* Every exception unmasked, and pending ones. */
        unsigned control = 0x0000;
        __asm__ volatile("ldmxcsr %0" ::"m"(control));
    }
    if (zero)
        set_thread_pointer(0);
    if (foreign)
        set_thread_pointer(0x7000);
    if (alignment)
        set_flag(1ul << 18);
    if (direction)
        set_flag(1ul << 10);
    if (segv)
        *(volatile int *)0xdead000 = 1;
    if (trap)
        __asm__ volatile(BREAKPOINT);
    unsigned word;
    __asm__ volatile("movl (%1), %0" : "=r"(word) : "r"(misaligned));
    __asm__ volatile("ud2");
}

static char **arguments;

static void *run(void *unused) {
    check(cm_thread_init());
    ready();
    wait_for_line();
    crash_in(arguments[3], arguments[4]);
    return unused;
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 2;
    arguments = argv;
    check(cm_install(argv[1], NULL));
    if (!strcmp(argv[5], "thread"))
        run_thread(run, NULL);
    else
        run(NULL);
    return 0;
}
