package crashmonitor

// #include <crash_monitor.h>
import "C"

import (
	"runtime"
	"sync"
	"syscall"
)

// AnnotateThread calls f with an annotation of the thread that it runs on, such as the request that it serves. Later dumps
// hold it as the annotation "thread.<thread id>.<key>", and records under "thread_annotations"; so does the record of a
// process that was killed. Before [Install] too.
//
// Threads are not goroutines: a dump shows threads, and Go moves goroutines from one to another. So the goroutine is locked
// to its thread (runtime.LockOSThread) until f returns, panics or ends the goroutine; then the key has the value from before
// this call, or none. Locked goroutines take longer to switch, so this is for those that call into C, and for few of them.
// Goroutines that f starts run on other threads.
//
// key: 1 to 64 bytes of UTF-8. value: up to 512 bytes of UTF-8. There can be 256 of all threads together. f is called in
// any case; an error means that it had no annotation.
func AnnotateThread(key, value string, f func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := setThreadAnnotation(key, value)
	if err == nil {
		defer threads.push(key, value)()
	}
	f()
	return err
}

// The calling goroutine has to be locked to its thread.
func setThreadAnnotation(key, value string) error {
	cKey, keyLength := cBytes(key)
	cValue, valueLength := cBytes(value)
	return check(C.cm_set_thread_annotation_n(cKey, keyLength, cValue, valueLength))
}

// threads holds what the library has of each thread, which cannot be asked: the innermost value of each key.
var threads = threadValues{values: map[threadKey]string{}}

type threadValues struct {
	sync.Mutex
	values map[threadKey]string
}

type threadKey struct {
	thread int
	key    string
}

// push notes that the calling thread has a value, and returns what brings back the one before.
func (t *threadValues) push(key, value string) (pop func()) {
	of := threadKey{syscall.Gettid(), key}
	t.Lock()
	defer t.Unlock()
	before, had := t.values[of]
	t.values[of] = value
	return func() {
		t.Lock()
		defer t.Unlock()
		if had {
			t.values[of] = before
			_ = setThreadAnnotation(key, before) // It replaces a value: there is room.
			return
		}
		delete(t.values, of)
		cKey, keyLength := cBytes(key)
		C.cm_set_thread_annotation_n(cKey, keyLength, nil, 0)
	}
}
