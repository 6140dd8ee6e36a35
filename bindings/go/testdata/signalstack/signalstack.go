// Package signalstack tells what a library that puts itself in front of pthread_create would change.
package signalstack

/*
#cgo LDFLAGS: -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>

static size_t stack_size(void)
{
	stack_t stack = {0};

	sigaltstack(NULL, &stack);
	return stack.ss_flags & SS_DISABLE ? 0 : stack.ss_size;
}

static const char *pthread_create_file(void)
{
	Dl_info info;

	return dladdr(dlsym(RTLD_DEFAULT, "pthread_create"), &info) ? info.dli_fname : "";
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
)

// Print prints the sizes of the alternate signal stacks that C code finds in the main thread and in others, new ones
// among them, and the file that pthread_create comes from.
func Print() {
	const threads = 8
	var sizes [threads]C.size_t
	var all sync.WaitGroup
	all.Add(threads)
	for i := range sizes {
		i := i
		go func() {
			runtime.LockOSThread() // Until all have one: so there are as many threads.
			sizes[i] = C.stack_size()
			all.Done()
			all.Wait()
		}()
	}
	all.Wait()
	fmt.Println(C.stack_size(), sizes, C.GoString(C.pthread_create_file()))
}
