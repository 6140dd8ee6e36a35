// Package crash ends its process in C code, and prints "thread <id>" of the crashing thread before.
package crash

// #include "crash.h"
import "C"

import "unsafe"

// Segv writes to address 0xdead.
func Segv() { C.crash_segv() }

// SegvInThread does what Segv does, in a thread that C makes.
func SegvInThread() { C.crash_segv_in_thread() }

// Overflow calls itself until the stack is full.
func Overflow() { C.crash_overflow() }

// Abort calls abort(3).
func Abort() { C.crash_abort() }

// Address returns the address of a C function.
func Address() uintptr { return uintptr(C.crash_abort) }

// Callback returns the address of a crash callback, which prints "called back", and something for it to be given so
// that it has crashes reported.
func Callback() (callback, report unsafe.Pointer) {
	return unsafe.Pointer(C.crash_called_back), unsafe.Pointer(C.crash_abort)
}
