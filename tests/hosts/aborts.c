/* A host that the C library aborts, in the way that its KIND says. Usage: aborts DUMP_DIR - KIND, see crash.h */
#include "crash.h"
#include <assert.h>
#include <dlfcn.h>

/* What glibc has said, as it keeps it for debuggers (struct abort_msg_s). */
struct message {
    unsigned int size;
    char text[];
};

NOINLINE static char smash(size_t length) {
    volatile char buffer[16];
    for (size_t i = 0; i < length; i++)
        buffer[i] = 0x5a;
    return buffer[0];
}

/* Says something with a size that is a lie, or by a pointer to nowhere. */
static void lie(const char *how) {
    struct message **symbol = dlsym(RTLD_DEFAULT, "__abort_msg");
    if (!symbol)
        exit(2);
    /* A text without an end, at the end of its memory. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(memory + page, page);
    struct message *message = (struct message *)memory;
    memset(memory, 'x', page);
    message->size = !strcmp(how, "long") ? 0xffffffff : !strcmp(how, "none") ? 0 : 4;
    if (!strcmp(how, "wild"))
        message = (struct message *)0xfffffffffffffffe;
    *symbol = message;
    abort();
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    const char *kind = argv[3];
    check(cm_install(argv[1], NULL));
    ready();
    if (!strcmp(kind, "assert"))
        assert(argc == 77 && "sums up");
    else if (!strcmp(kind, "smash"))
        return smash((size_t)argc * 64);
    else if (!strcmp(kind, "free-twice")) {
        char *volatile memory = malloc(2000);
        free(memory);
        char *volatile again = memory;
        free(again);
    } else if (!strcmp(kind, "lie"))
        lie(argv[4]);
    else
        crash(kind);
    return 4;
}
