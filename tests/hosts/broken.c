/* A host that breaks what the handler needs, and crashes then. See crash.h. */
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
        set_stack(getauxval(AT_MINSIGSTKSZ) + 512, PROT_READ | PROT_WRITE);
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
