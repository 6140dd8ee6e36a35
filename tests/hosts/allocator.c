/* Preloaded into a host: ends it with EXIT_IN_HANDLER, and says why, when a function that allocates, frees or locks is
 * called on an alternate signal stack, that is by a signal handler. glibc does the work.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_IN_HANDLER = 77 };

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);
void *__libc_memalign(size_t alignment, size_t size);

static int (*real_mutex_lock)(pthread_mutex_t *);

__attribute__((constructor)) static void resolve(void) {
    void *symbol = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    memcpy(&real_mutex_lock, &symbol, sizeof symbol);
}

static void refuse_in_handler(const char *function) {
    stack_t stack;
    int saved_errno = errno;
    if (sigaltstack(NULL, &stack) == 0 && stack.ss_flags & SS_ONSTACK) {
        (void)!write(STDOUT_FILENO, "in handler: ", 12);
        (void)!write(STDOUT_FILENO, function, strlen(function));
        (void)!write(STDOUT_FILENO, "\n", 1);
        _exit(EXIT_IN_HANDLER);
    }
    errno = saved_errno;
}

void *malloc(size_t size) {
    refuse_in_handler("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    refuse_in_handler("calloc");
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    refuse_in_handler("realloc");
    return __libc_realloc(memory, size);
}

void free(void *memory) {
    refuse_in_handler("free");
    __libc_free(memory);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    refuse_in_handler("posix_memalign");
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size) {
    refuse_in_handler("aligned_alloc");
    return __libc_memalign(alignment, size);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    refuse_in_handler("pthread_mutex_lock");
    return real_mutex_lock(mutex);
}
