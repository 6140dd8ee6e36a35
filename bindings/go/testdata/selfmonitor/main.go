// selfmonitor <dump dir>: a program that is its own monitor, and crashes.
package main

import (
	"log"
	"os"
	"path/filepath"

	"crashmonitor"
	"crashmonitor/testdata/crash"
)

func main() {
	if ran, err := crashmonitor.RunMonitor(); ran {
		if err != nil {
			log.Fatal(err)
		}
		// For the tests to see: started as crash-monitor --crash-monitor --dump-dir <dump dir> ...
		if err := os.WriteFile(filepath.Join(os.Args[3], "served"), nil, 0o600); err != nil {
			log.Fatal(err)
		}
		return
	}
	if err := crashmonitor.Install(os.Args[1], ""); err != nil {
		log.Fatal(err)
	}
	crash.Segv()
}
