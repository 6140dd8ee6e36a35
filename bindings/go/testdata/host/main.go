// host <dump dir> <state> <way>: a program that ends in one of many ways.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"

	"crashmonitor"
	"crashmonitor/internal/runtimetext"
	"crashmonitor/testdata/callback"
	"crashmonitor/testdata/crash"
	"crashmonitor/testdata/signalstack"
)

var ways = map[string]func(){
	// Crashes.
	"main goroutine":             crash.Segv,
	"goroutine":                  func() { runGoroutines(50); elsewhere(crash.Segv) },
	"C thread":                   crash.SegvInThread,
	"callback in a C thread":     func() { callback.InThread(crash.Segv) },
	"abort":                      crash.Abort,
	"overflow":                   crash.Overflow,
	"overflow in a goroutine":    func() { elsewhere(crash.Overflow) },
	"overflow once told":         func() { waitUntilTold(); elsewhere(crash.Overflow) },
	"large heap":                 func() { spin(); fillHeap(); crash.Segv() },
	"after recovered faults":     func() { recoverFaults(); crash.Segv() },
	"after callbacks that panic": func() { panicInCallbacks(); crash.Segv() },
	"after signals of Go":        func() { useSignals(); crash.Segv() },
	"after a notified SIGSEGV":   func() { notifySegv(); install(); crash.Segv() },

	"with a log":         func() { writeLog(); crash.Segv() },
	"with a small log":   func() { writeManyLines(); crash.Segv() },
	"killed with a log":  func() { writeLog(); annotateThread(kill) },
	"annotated":          func() { annotateThread(crash.Segv) },
	"after annotations":  func() { leaveAnnotations(); crash.Segv() },
	"with extras":        func() { addExtras(); crash.Segv() },
	"not armed any more": func() { notifySegv(); mustFailWith(crashmonitor.ErrHandler, crashmonitor.CheckArmed()) },

	// Dumps of a program that goes on.
	"dump on demand": dumpNow,
	"hang":           hang,
	"captured":       capturePanics,

	// Ends that are Go's own.
	"panic":                    func() { panicHere() },
	"captured panic":           func() { defer crashmonitor.CapturePanic(); panicHere() },
	"wild pointer":             func() { printThread(); readAt(wild) },
	"unlock of unlocked mutex": func() { printThread(); new(sync.Mutex).Unlock() },
	"concurrent map writes":    writeMapConcurrently,
	"Go stack overflow":        func() { printThread(); overflowGoStack() },
	"return":                   func() {},
	"os.Exit(0)":               func() { os.Exit(0) },
	"os.Exit(3)":               func() { os.Exit(3) },
	"SIGTERM after Reset":      terminateAfterReset,

	// Questions.
	"addresses": func() {
		begin, end := runtimetext.Range()
		fmt.Println(begin, end, reflect.ValueOf(must).Pointer(), crash.Address())
	},
	"signal stacks": signalstack.Print,
}

// The main goroutine is the main thread's: that has another kind of stack than the others.
func init() { runtime.LockOSThread() }

func main() {
	switch state := os.Args[2]; state {
	case "never":
	case "armed":
		install()
	case "armed for panics":
		install(crashmonitor.WithPanicDumps())
	case "armed without crash text":
		install(crashmonitor.WithoutCrashText())
	case "armed with 16 files":
		for i := 0; i < 16; i++ {
			must(crashmonitor.AttachFile(fmt.Sprint(i)))
		}
		install()
	case "armed with a small log":
		install(crashmonitor.WithLogBytes(256))
	case "armed with environment":
		install(crashmonitor.WithEnvironment())
	case "armed with sanitized stacks":
		install(crashmonitor.WithSanitizedStacks())
	case "armed with a callback":
		callback, report := crash.Callback()
		install(crashmonitor.WithCrashCallback(callback, report))
	case "armed with a callback that refuses":
		callback, _ := crash.Callback()
		install(crashmonitor.WithCrashCallback(callback, nil))
	case "refused":
		if crashmonitor.Install("/dev/null", "", crashmonitor.WithPanicDumps()) == nil {
			log.Fatal("no error")
		}
	case "disarmed":
		install()
		must(crashmonitor.Uninstall())
	default:
		log.Fatalf("no such state: %s", state)
	}
	ways[os.Args[3]]()
}

func install(options ...crashmonitor.Option) {
	must(crashmonitor.Install(os.Args[1], "", append(options, crashmonitor.WithAppName("gohost"))...))
}

// waitUntilTold waits for the end of standard input.
func waitUntilTold() {
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}

func printThread() {
	fmt.Println("thread", syscall.Gettid())
}

// elsewhere calls a function that does not return in a thread other than the main one.
func elsewhere(f func()) {
	go f()
	select {}
}

// runGoroutines returns when n goroutines run.
func runGoroutines(n int) {
	var started sync.WaitGroup
	started.Add(n)
	for i := 0; i < n; i++ {
		go func() {
			started.Done()
			for {
				runtime.Gosched()
			}
		}()
	}
	started.Wait()
}

// spin returns when a goroutine runs that stays on its thread: its stack is in Go's heap, and so that thread's pointer.
func spin() {
	started := make(chan struct{})
	go func() {
		close(started)
		for {
		}
	}()
	<-started
}

var heap []byte

// fillHeap has 512 MiB of memory in use, and 10,000 goroutines.
func fillHeap() {
	heap = make([]byte, 512<<20)
	for i := range heap {
		heap[i] = 'x'
	}
	for i := 0; i < 10_000; i++ {
		go func() { select {} }()
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
