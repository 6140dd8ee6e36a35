// golib: a Go library for C programs (-buildmode=c-shared).
package main

import "C"

import (
	"fmt"
	"log"
	"syscall"

	"crashmonitor"
	"crashmonitor/testdata/crash"
)

func init() {
	if err := crashmonitor.LeaveGoFaults(); err != nil {
		log.Fatal(err)
	}
	if err := crashmonitor.SetAnnotation("library", "golib"); err != nil {
		log.Fatal(err)
	}
}

//export golib_recover_faults
func golib_recover_faults() {
	for i := 0; i < 50; i++ {
		recoverFault()
	}
}

func recoverFault() {
	defer func() {
		if recover() == nil {
			log.Fatal("no panic")
		}
	}()
	var p *int
	*p = 1
}

//export golib_segv
func golib_segv() { crash.Segv() }

//export golib_panic
func golib_panic() {
	fmt.Println("thread", syscall.Gettid())
	panic("nobody recovers this")
}

//export golib_captured_panic
func golib_captured_panic() {
	defer func() {
		if recover() != "captured" {
			log.Fatal("no panic")
		}
	}()
	defer crashmonitor.CapturePanic()
	panic("captured")
}

func main() {}
