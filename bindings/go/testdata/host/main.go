// host <dump dir> armed|disarmed|never <way>: a program that crashes.
package main

import (
	"fmt"
	"log"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"

	"crashmonitor"
	"crashmonitor/internal/runtimetext"
	"crashmonitor/testdata/crash"
)

var ways = map[string]func(){
	"main goroutine": crash.Segv,
	"goroutine": func() {
		runGoroutines(50)
		go crash.Segv()
		select {}
	},
	"C thread": crash.SegvInThread,
	"abort":    crash.Abort,
	"panic":    panicHere,
	"panic under GOTRACEBACK=crash": func() {
		debug.SetTraceback("crash")
		panicHere()
	},
	"after recovered faults": func() {
		for i := 0; i < 50; i++ {
			recovered(func() { var p *int; *p = 1 })
			recovered(func() { zero := 0; fmt.Println(1 / zero) })
			recovered(func() { faultAt(0xdead000) })
		}
		crash.Segv()
	},
	"addresses": func() {
		begin, end := runtimetext.Range()
		fmt.Println(begin, end, reflect.ValueOf(must).Pointer(), crash.Address())
	},
}

func main() {
	dumpDir, state, way := os.Args[1], os.Args[2], os.Args[3]
	if state != "never" {
		must(crashmonitor.Install(dumpDir, "", crashmonitor.WithAppName("gohost")))
	}
	if state == "disarmed" {
		must(crashmonitor.Uninstall())
	}
	ways[way]()
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

// recovered calls a function that must panic.
func recovered(fault func()) {
	defer func() {
		if recover() == nil {
			log.Fatal("no panic")
		}
	}()
	fault()
}

// faultAt reads memory that is not there, at an address that is no nil dereference's.
func faultAt(address uintptr) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	fmt.Println(**(**int)(unsafe.Pointer(&address)))
}

func panicHere() {
	runtime.LockOSThread()
	fmt.Println("thread", syscall.Gettid())
	panic("nobody recovers this")
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
