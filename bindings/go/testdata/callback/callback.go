// Package callback has C code call Go functions, one at a time.
package callback

// #cgo LDFLAGS: -lcrash_monitor
// #include "callback.h"
import "C"

var callback func()

//export goCallback
func goCallback() { callback() }

// Here has C call f in this thread.
func Here(f func()) {
	callback = f
	C.callback_here()
}

// InThread has C call f in a thread that C makes, which has no signal stack of its own.
func InThread(f func()) {
	callback = f
	C.callback_in_thread()
}

// InThreadWithSignalStack does what InThread does, in a thread that called cm_thread_init.
func InThreadWithSignalStack(f func()) {
	callback = f
	C.callback_in_thread_with_signal_stack()
}
