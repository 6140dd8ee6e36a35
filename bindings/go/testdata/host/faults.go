package main

import (
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"

	"crashmonitor/testdata/callback"
	"crashmonitor/testdata/trap"
)

// wild is too low for anything to be mapped there (mmap_min_addr in proc_sys_vm(5)), and too high for nil's.
const wild = 0xdead

// recoverFaults has each fault that Go makes a panic of happen 50 times.
func recoverFaults() {
	cut := mapCutFile()
	for i := 0; i < 50; i++ {
		recovered(dereferenceNil)
		recovered(trap.DivideByZero)
		recovered(func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			readAt(wild)
		})
		recovered(func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			fmt.Println(cut[0]) // SIGBUS.
		})
	}
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

func dereferenceNil() {
	var p *int
	*p = 1
}

func readAt(address uintptr) {
	fmt.Println(**(**int)(unsafe.Pointer(&address)))
}

// mapCutFile returns the memory of a file that holds nothing any more.
func mapCutFile() []byte {
	file, err := os.CreateTemp("", "")
	must(err)
	defer file.Close()
	must(os.Remove(file.Name()))
	must(file.Truncate(1))
	memory, err := syscall.Mmap(int(file.Fd()), 0, 1, syscall.PROT_READ, syscall.MAP_SHARED)
	must(err)
	must(file.Truncate(0))
	return memory
}

// panicInCallbacks has functions panic that C calls.
func panicInCallbacks() {
	for i := 0; i < 50; i++ {
		callback.Here(func() { recovered(func() { panic("in the callback") }) })
		recovered(func() { callback.Here(func() { panic("past C's frames") }) })
		callback.InThread(func() { recovered(dereferenceNil) })
		callback.InThreadWithSignalStack(func() { recovered(dereferenceNil) })
	}
}

// panicHere panics with a text on its stack, for the tests to find in the dump.
func panicHere() {
	printThread()
	var mark [64]byte
	copy(mark[:], "on the stack of the panicking goroutine")
	defer runtime.KeepAlive(&mark)
	panic("nobody recovers this")
}

func writeMapConcurrently() {
	shared := map[int]int{}
	var printed sync.WaitGroup
	for i := 0; i < 4; i++ {
		printed.Add(1)
		go func() {
			runtime.LockOSThread()
			printThread()
			printed.Done()
			printed.Wait()
			for {
				shared[1]++
			}
		}()
	}
	select {}
}

func overflowGoStack() {
	debug.SetMaxStack(1 << 20)
	recurse(0)
}

func recurse(depth int) int {
	return recurse(depth+1) + depth
}
