package crashmonitor

/*
#include <crash_monitor.h>
#include <stdint.h>

// An address, and no pointer: the library reads nothing there, another process does once there is a dump.
static cm_status add_memory(uintptr_t start, size_t length) { return cm_add_memory((const void *)start, length); }
static cm_status remove_memory(uintptr_t start) { return cm_remove_memory((const void *)start); }
*/
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// SetAnnotation sets a key and a value that every later dump of this process holds, and its record too, the .json file
// beside it. The same key again replaces the value. Before [Install] too.
//
// key: 1 to 256 bytes of UTF-8. value: up to 20480 bytes of UTF-8. There can be 64 annotations. After an error nothing has
// changed. It costs some 0.1 µs and the call into C, and needs no monitor; so it is with files and memory too.
func SetAnnotation(key, value string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cKey, keyLength := cBytes(key)
	cValue, valueLength := cBytes(value)
	return check(C.cm_set_annotation_n(cKey, keyLength, cValue, valueLength))
}

// RemoveAnnotation removes an annotation, which need not be there.
func RemoveAnnotation(key string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cKey, keyLength := cBytes(key)
	return check(C.cm_set_annotation_n(cKey, keyLength, nil, 0))
}

// AttachFile has a file, such as the program's log, copied beside every later dump, as <dump's name>.<file's name>: as
// it is when the dump is written, at most its first 64 MiB. Before [Install] too.
//
// After a crash the copy also gets what is written to the file until the process has ended, for up to 3 seconds.
//
// path is made absolute at once; the file need not be there yet. There can be 16 files, of which Go's crash text is one
// ([WithoutCrashText]); the same one twice counts once. An empty file is left out.
func AttachFile(path string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := cString("path", path)
	if err != nil {
		return err
	}
	return check(C.cm_attach_file(c))
}

// memories holds what AddMemory was given, by address: what a dump is to hold must not be freed. In a map it is not on
// a goroutine's stack, which moves; Go moves nothing else. A runtime.Pinner would do for Go's memory alone.
var memories = struct {
	sync.Mutex
	kept map[*byte][]byte
}{kept: map[*byte][]byte{}}

// AddMemory puts memory into every later dump, as it is when the dump is written. Before [Install] too.
//
// memory: 1 to 1048576 bytes, of Go's (they are kept from the garbage collector until [RemoveMemory]) or any other. For
// a variable: unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)) with p a pointer to it; what it points to is
// not in the dump. There can be 64 ranges; the same start again replaces the length.
func AddMemory(memory []byte) error {
	if len(memory) == 0 {
		return &Error{ErrInvalidArgument, "the memory is empty: give at least 1 byte"}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	memories.Lock()
	defer memories.Unlock()
	if err := check(C.add_memory(C.uintptr_t(address(memory)), C.size_t(len(memory)))); err != nil {
		return err
	}
	memories.kept[unsafe.SliceData(memory)] = memory
	return nil
}

// RemoveMemory leaves out again what [AddMemory] was given. Memory that is not Go's has to be removed before it is
// freed.
func RemoveMemory(memory []byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	memories.Lock()
	defer memories.Unlock()
	err := check(C.remove_memory(C.uintptr_t(address(memory))))
	delete(memories.kept, unsafe.SliceData(memory))
	return err
}

func address(memory []byte) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
}

// DumpNow has the monitor write a dump of this process as it is, which then goes on: any number of times, from any
// goroutine. It returns the path of the dump when the dump is in the dump directory.
//
// reason: up to 1024 bytes of UTF-8 for the record; "" means none. The dump shows the calling goroutine's thread first,
// in C code: the goroutine's own stack is not in it, but an annotation can hold what runtime.Stack gives. All threads
// stop while they are read, for milliseconds; a system call in C code may return early with EINTR.
//
// [ErrNotInstalled], [ErrDump] (the monitor could not write it), [ErrTimeout] (not within [WithDeadline]) or an error
// of Install, where the monitor has gone and could not be replaced.
func DumpNow(reason string) (path string, err error) {
	runtime.LockOSThread() // The library keeps the path by thread.
	defer runtime.UnlockOSThread()
	c, length := cBytes(reason)
	var dump *C.char
	if err := check(C.cm_dump_now_n(c, length, &dump)); err != nil {
		return "", err
	}
	return C.GoString(dump), nil
}

// StartHeartbeat promises a sign of life, [Heartbeat], within a time, and again within that time of each. A process
// that breaks the promise is dumped as hung, once, and lives on; its next sign of life makes a new promise.
//
// within: at least 10 ms, in milliseconds, rounded up; 0 ends the promise. Without Install it returns
// [ErrNotInstalled]; where the monitor has gone and could not be replaced, an error of Install.
func StartHeartbeat(within time.Duration) error {
	if within < 0 || within > math.MaxUint32*time.Millisecond {
		return &Error{ErrInvalidArgument, fmt.Sprintf("no heartbeat can be within %v: give 10 ms to 49 days", within)}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	milliseconds := (within + time.Millisecond - 1) / time.Millisecond
	return check(C.cm_heartbeat_start(C.uint32_t(milliseconds)))
}

// Heartbeat gives the sign of life that [StartHeartbeat] promised. It belongs into the loop that must not hang: a
// goroutine of its own with a ticker shows only that goroutines are scheduled. It costs some 10 ns and the call into C, and
// needs no monitor. Where nothing was promised it returns [ErrInvalidArgument].
func Heartbeat() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return check(C.cm_heartbeat())
}

// CheckArmed returns nil where this process is armed: installed, and our handler still that of every crash signal. It
// returns [ErrNotInstalled], or [ErrHandler] where somebody has replaced a handler, with the signals in the message.
// [Install] with the same arguments as before then puts ours in front again.
func CheckArmed() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return check(C.cm_is_armed())
}
