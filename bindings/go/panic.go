package crashmonitor

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unicode/utf8"
)

// What the library takes of a reason and of an annotation's value, in bytes.
const (
	reasonMax     = 1024
	annotationMax = 20 << 10
)

// panics lets one panic at a time have the annotations.
var panics sync.Mutex

// CapturePanic dumps this process where the goroutine panics, and then lets it panic on with the same value: the
// program ends, or recovers, as ever. Without a panic, at runtime.Goexit too, it does nothing. It has to be deferred
// itself, in each goroutine whose panics are to leave a dump:
//
//	defer crashmonitor.CapturePanic()
//
// The dump's reason is "panic: " and the value. Its annotations are panic.value, panic.type and panic.stack, the
// goroutine's stack as Go prints it, of which the first 20 KiB; in panic.value too. They are not in later dumps.
//
// Where there is no dump, say because nothing is installed, nobody is told: the panic is what matters. What the panic
// leaves afterwards, it leaves as without CapturePanic: a record, or with [WithPanicDumps] a dump of its own.
func CapturePanic() {
	value := recover()
	if value == nil && !calledByPanic() {
		return
	}
	dumpPanic(value)
	panic(value)
}

// calledByPanic tells a panic(nil), of which programs from before Go 1.21 recover nil, from none: it says whether the
// runtime's panic has called CapturePanic.
func calledByPanic() bool {
	var caller [1]uintptr
	runtime.Callers(3, caller[:]) // Without Callers, calledByPanic and CapturePanic.
	frame, _ := runtime.CallersFrames(caller[:]).Next()
	return frame.Function == "runtime.gopanic"
}

func dumpPanic(value any) {
	text := fmt.Sprint(value) // A method of the value's that panics does no harm in it.
	stack := make([]byte, annotationMax)
	stack = stack[:runtime.Stack(stack, false)]
	annotations := map[string]string{
		"panic.value": text,
		"panic.type":  fmt.Sprintf("%T", value),
		"panic.stack": string(stack),
	}

	panics.Lock()
	defer panics.Unlock()
	for key, value := range annotations {
		// Where there are too many annotations already, the dump is worth having all the same.
		_ = SetAnnotation(key, fit(value, annotationMax))
	}
	_, _ = DumpNow(fit("panic: "+text, reasonMax))
	for key := range annotations {
		_ = RemoveAnnotation(key)
	}
}

// fit makes a text one that the library takes: UTF-8, of so many bytes.
func fit(text string, bytes int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= bytes {
		return text
	}
	for !utf8.RuneStart(text[bytes]) {
		bytes--
	}
	return text[:bytes]
}
