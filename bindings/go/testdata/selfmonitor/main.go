// selfmonitor <dump dir>: a program that is its own monitor, and crashes once its standard input has ended.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"crashmonitor"
	"crashmonitor/testdata/crash"
)

func main() {
	if ran, err := crashmonitor.RunMonitor(); ran {
		must(err)
		// For the tests to see: started as crash-monitor --crash-monitor --dump-dir <dump dir> ...
		must(os.WriteFile(filepath.Join(os.Args[3], fmt.Sprint("served.", os.Getpid())), nil, 0o600))
		return
	}
	must(crashmonitor.Install(os.Args[1], ""))
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	must(err)
	crash.Segv()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
