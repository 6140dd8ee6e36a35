package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"crashmonitor"
)

// addExtras adds what dumps can hold besides the process, takes some of it back, and prints where the memory is.
func addExtras() {
	must(crashmonitor.SetAnnotation("build", "first"))
	must(crashmonitor.SetAnnotation("build", "schön"))
	must(crashmonitor.SetAnnotation("removed", "value"))
	must(crashmonitor.RemoveAnnotation("removed"))
	must(crashmonitor.SetAnnotation("n\x00l", "o\x00e"))
	must(crashmonitor.SetAnnotation("empty", ""))

	must(os.Chdir(os.Args[1]))
	must(crashmonitor.AttachFile("program.log"))
	must(os.Chdir("/"))
	must(os.WriteFile(filepath.Join(os.Args[1], "program.log"), []byte("the program's log"), 0o600))

	printMemory := func(memory []byte) { fmt.Println("memory", uint64(uintptr(unsafe.Pointer(&memory[0])))) }
	kept, removed := newMemory("memory that is kept"), newMemory("memory that is removed")
	printMemory(kept)
	printMemory(removed)
	must(crashmonitor.AddMemory(kept))
	must(crashmonitor.AddMemory(removed))
	must(crashmonitor.RemoveMemory(removed))
	overwriteFreedMemory()
}

// newMemory returns memory of the size that overwriteFreedMemory asks for. Not inlined: so it is none of the stack.
//
//go:noinline
func newMemory(text string) []byte {
	memory := make([]byte, 4096)
	copy(memory, text)
	return memory[:len(text)]
}

// overwriteFreedMemory has what nobody refers to any more be freed, and used for something else.
func overwriteFreedMemory() {
	runtime.GC()
	var others [10_000][]byte
	for i := range others {
		others[i] = newMemory("something else")
	}
	runtime.KeepAlive(others)
}

func dumpNow() {
	runtime.LockOSThread()
	printThread()
	must(crashmonitor.SetAnnotation("dump", "on demand"))
	for _, reason := range []string{"be\x00cause", ""} {
		path, err := crashmonitor.DumpNow(reason)
		must(err)
		fmt.Printf("dump %s %q\n", path, reason)
	}
	must(crashmonitor.Uninstall())
}

// hang gives a sign of life, then none until it is told to.
func hang() {
	must(crashmonitor.StartHeartbeat(20 * time.Millisecond))
	must(crashmonitor.Heartbeat())
	waitUntilTold()
	must(crashmonitor.StartHeartbeat(0))
	mustFailWith(crashmonitor.ErrInvalidArgument, crashmonitor.Heartbeat())
	must(crashmonitor.Uninstall())
}

func mustFailWith(status crashmonitor.Status, err error) {
	if !errors.Is(err, status) {
		log.Fatalf("%v, want %v", err, status)
	}
}
