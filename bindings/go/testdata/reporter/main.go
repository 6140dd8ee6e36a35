// reporter <dump dir> <socket> <way>: a program that is its own monitor, has Go functions called there, and ends one
// way or another once its standard input has ended.
package main

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"crashmonitor"
	"crashmonitor/testdata/crash"
)

func main() {
	ran, err := crashmonitor.RunMonitor(
		crashmonitor.WithReportCallback(report),
		crashmonitor.WithLogCallback(func(level slog.Level, message string) {
			leave("lines", fmt.Sprintf("%v %s\n", level, message))
		}),
	)
	if ran {
		leave("served", fmt.Sprintln(err))
		return
	}
	must(err)
	must(crashmonitor.Install(os.Args[1], os.Args[2], crashmonitor.WithRetention(1, 1<<30)))
	must(crashmonitor.SetAnnotation("way", os.Args[3]))
	must(crashmonitor.SetAnnotation("empty", ""))
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	must(err)
	switch os.Args[3] {
	case "crash":
		crash.Segv()
	case "exit":
		os.Exit(3)
	}
}

// report takes until there is a file "go on", and does what needs all of Go's threads.
func report(report crashmonitor.Report) {
	leave("begun", fmt.Sprintf("%q %q\n", report.DumpPath, report.RecordPath))
	collected := make(chan struct{})
	go func() { runtime.GC(); close(collected) }()
	<-collected
	for ; ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(filepath.Join(monitorDir(), "go on")); err == nil {
			break
		}
	}
	leave("reports", fmt.Sprintf("%q %q\n", report.DumpPath, report.RecordPath))
	leave("details", fmt.Sprintf("%v %s %d %t %d %d %q %q %d\n", report.Kind, report.AppName, report.PID,
		report.ThreadID != 0, report.Signal, report.ExitStatus, report.Reason, report.Annotations, len(report.Attachments)))
}

// monitorDir is where the monitor leaves what the tests look at: in its socket's directory. It is started as
// crash-monitor --crash-monitor --dump-dir <dir> --socket <path> ...
func monitorDir() string { return filepath.Dir(os.Args[5]) }

// leave adds to a file.
func leave(name, text string) {
	file, err := os.OpenFile(filepath.Join(monitorDir(), name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(err)
	_, err = file.WriteString(text)
	must(err)
	must(file.Close())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
