/* A host that takes away what the handler needs, by its KIND, and then crashes. See crash.h. */
#include "crash.h"

#include <link.h>
#include <sys/auxv.h>

/* Gives this thread an alternate stack of so many bytes above a page without access. */
static void set_stack(size_t size, int protection) {
    char *pages = mmap(NULL, 4096 + 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + 4096, 65536, protection);
    stack_t stack = {.ss_sp = pages + 4096, .ss_size = size};
    if (sigaltstack(&stack, NULL) != 0)
        exit(5);
}

static char *altstack_top;
static size_t frame;

/* How much of an alternate stack the kernel has taken when a handler begins. */
static void measure_frame(int signal) {
    (void)signal;
    frame = (size_t)(altstack_top - (char *)__builtin_frame_address(0));
}

/* Gives this thread an alternate stack that holds the kernel's frame and so many bytes more; below it are pages without
 * access, which count as a part of it since the kernel takes no stack below a minimum. */
static void set_stack_beyond_frame(size_t more) {
    enum { LENGTH = 65536 };
    char *pages = mmap(NULL, 2 * LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    altstack_top = pages + 2 * LENGTH;
    mprotect(pages + LENGTH, LENGTH, PROT_READ | PROT_WRITE);
    stack_t stack = {.ss_sp = pages, .ss_size = 2 * LENGTH};
    struct sigaction action = {.sa_handler = measure_frame, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) != 0)
        exit(5);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    /* Moved within its page so that what is writable is as much as is wanted. */
    size_t usable = (frame + more + 15) & ~(size_t)15, whole = (usable + 4095) & ~(size_t)4095;
    mprotect(pages + LENGTH, LENGTH - whole, PROT_NONE);
    stack.ss_size = 2 * LENGTH - (whole - usable);
    if (sigaltstack(&stack, NULL) != 0)
        exit(5);
}

/* Fills every byte of the heap. */
static void overwrite_heap(void) {
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long start = 0, end = 0;
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[heap]") && sscanf(line, "%lx-%lx", &start, &end) == 2)
            break;
    if (end <= start)
        exit(5);
    memset((void *)start, 0xee, end - start);
}

/* Takes the right to write away from the library's own data. */
static int protect_data(struct dl_phdr_info *object, size_t size, void *protected) {
    (void)size;
    if (!strstr(object->dlpi_name, "libcrash_monitor.so"))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_W))
            continue;
        uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(uintptr_t)4095;
        uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;
        *(int *)protected += mprotect((void *)start, end - start, PROT_READ) == 0;
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    const char *kind = argv[3];
    check(cm_install(argv[1], NULL));
    if (!strcmp(kind, "stack-without-access")) {
        set_stack(65536, PROT_NONE);
    } else if (!strcmp(kind, "stack-too-small")) {
        /* The kernel's frame fits, and hardly anything else. */
        set_stack_beyond_frame(64);
    } else if (!strcmp(kind, "stack-beyond-frame")) {
        set_stack_beyond_frame((size_t)atoi(argv[5]));
        ready();
        wait_for_line();
        crash(argv[4]);
    } else if (!strcmp(kind, "heap-overwritten")) {
        ready();
        wait_for_line();
        overwrite_heap();
        crash(argv[4]);
    } else if (!strcmp(kind, "small-stack")) {
        /* Rust's threads have SIGSTKSZ: 8 KiB, of which AVX-512 leaves so much, and 16 KiB on AArch64. */
#if defined(__x86_64__)
        set_stack(getauxval(AT_MINSIGSTKSZ) + 4816, PROT_READ | PROT_WRITE);
#elif defined(__aarch64__)
        set_stack(16384, PROT_READ | PROT_WRITE);
#endif
    } else if (!strcmp(kind, "data-read-only")) {
        int protected = 0;
        dl_iterate_phdr(protect_data, &protected);
        if (!protected)
            return 5;
    }
    ready();
    crash(argv[4]);
    return 0;
}
