//go:build go1.23

package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"crashmonitor"
)

func init() {
	ways["crash text comes and goes"] = comeAndGo
	ways["own crash output"] = func() { setOwn(); panicHere() }
	ways["own crash output, uninstalled"] = func() { setOwn(); must(crashmonitor.Uninstall()); panicHere() }
	ways["own crash output, installed again"] = func() { setOwn(); install(); panicHere() }
}

// comeAndGo counts the descriptors of the file with the crash text: ours, and Go's where Go writes to it.
func comeAndGo() {
	for i := 0; i < 3; i++ {
		mustBeOpen(2)
		must(crashmonitor.Uninstall())
		mustBeOpen(1)
		install()
	}
	must(crashmonitor.Uninstall())
	install(crashmonitor.WithoutCrashText())
	mustBeOpen(1)
	must(crashmonitor.Uninstall())
	install()
	inherited, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	must(err)
	if strings.Contains(string(inherited), "go-crash.txt") {
		log.Fatalf("another program inherits the file:\n%s", inherited)
	}
	must(crashmonitor.Uninstall())
}

func mustBeOpen(want int) {
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	must(err)
	open := 0
	for _, descriptor := range descriptors {
		// An error for the one with which the directory was read.
		if target, _ := os.Readlink(descriptor); strings.Contains(target, "go-crash.txt") {
			open++
		}
	}
	if open != want {
		log.Fatalf("%d descriptors of the crash text are open, want %d", open, want)
	}
}

// setOwn has the crash text go where the program wants it.
func setOwn() {
	own, err := os.Create(filepath.Join(os.Args[1], "own.txt"))
	must(err)
	must(debug.SetCrashOutput(own, debug.CrashOptions{}))
	must(own.Close())
	fmt.Println("set")
}
