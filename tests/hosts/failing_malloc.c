/* An allocator that can be told to fail, in front of glibc's, for `memory.c`: linked with it, or as the program that loads it
 * as a plug-in. Usage: failing_malloc DUMP_DIR MODE [PLUG-IN] */
#include "failing_malloc.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

struct failing failing;

static int fails(void) {
    if (!failing.at)
        return 0;
    failing.calls++;
    if (failing.calls != failing.at && !(failing.from_then_on && failing.calls > failing.at))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }

void *realloc(void *memory, size_t size) { return fails() ? NULL : __libc_realloc(memory, size); }

void *aligned_alloc(size_t alignment, size_t size) { return fails() ? NULL : __libc_memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    void *made = aligned_alloc(alignment, size);
    if (made)
        *memory = made;
    return made ? 0 : ENOMEM;
}

/* In `memory.c`. */
__attribute__((weak)) int run(const char *dump_dir, const char *mode);

int main(int argc, char **argv) {
    int (*linked_or_loaded)(const char *, const char *) = run;
    if (!linked_or_loaded) {
        void *library = argc == 4 ? dlopen(argv[3], RTLD_NOW) : NULL;
        void *symbol = library ? dlsym(library, "run") : NULL;
        if (!symbol) {
            printf("failed %s\n", dlerror());
            return 4;
        }
        memcpy(&linked_or_loaded, &symbol, sizeof symbol);
    }
    return argc < 3 ? 2 : linked_or_loaded(argv[1], argv[2]);
}
