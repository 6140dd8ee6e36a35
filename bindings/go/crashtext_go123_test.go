//go:build go1.23

package crashmonitor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What Go prints to standard error is in a file beside the dump too, also of a crash that Go gets after the dump.
func TestCrashText(t *testing.T) {
	for _, test := range []struct{ state, way, ending, begin, end string }{
		{"armed", "goroutine", "exit status 2", "SIGSEGV: segmentation violation\nPC=", ""},
		{"armed", "overflow", "exit status 2", "SIGSEGV: segmentation violation\nPC=", ""},
		{"armed for panics", "panic", "aborted", "panic: nobody recovers this\n", ""},
		// Go writes to standard error alone what it prints before the traceback here, and there what the threads other
		// than the crashing one print.
		{"armed for panics", "concurrent map writes", "aborted", "\ngoroutine ", ""},
		{"armed for panics", "goroutine", "aborted", "SIGSEGV: segmentation violation\nPC=", "SIGQUIT: quit\n"},
	} {
		t.Run(test.way+" "+test.state, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, test.state, test.way)
			checkEnding(t, host, crash{ending: test.ending, stderr: "(?s)" + test.begin + ".*" + test.end})
			waitForMonitor(t, dir) // The text comes after the host's end.
			dumps := glob(t, dir, "*.dmp")
			if len(dumps) != 1 {
				t.Fatalf("found %v, want one dump", dumps)
			}
			want := host.stderr[max(0, strings.Index(host.stderr, test.begin)):]
			if test.end != "" {
				want, _, _ = strings.Cut(want, test.end)
			}
			checkAttachment(t, dumps[0], readRecord(t, dumps[0]), "go-crash.txt", want)
		})
	}
}

func TestWithoutCrashText(t *testing.T) {
	for _, test := range []struct {
		state  string
		failed int // How many files are not there.
	}{
		{"armed without crash text", 0},
		{"armed with 16 files", 16}, // No more can be attached, which is no reason not to install.
	} {
		t.Run(test.state, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, test.state, ordinary.way)
			checkEnding(t, host, ordinary)
			checkOnlyDump(t, dir, "gohost", host, ordinary.exception)
			waitForMonitor(t, dir)
			record := readRecord(t, glob(t, dir, "*.dmp")[0])
			if len(record.Attachments) != 0 || len(record.Failed) != test.failed {
				t.Errorf("attachments %v, failed %v", record.Attachments, record.Failed)
			}
		})
	}
}

func TestCrashTextComesAndGoes(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, exe.program(t, "host"), dir, "armed", "crash text comes and goes")
	checkEnding(t, host, crash{ending: "exit status 0", stderr: "^$"})
}

// A program that sets a crash output of its own keeps it.
func TestOwnCrashOutput(t *testing.T) {
	for _, way := range []string{
		"own crash output", "own crash output, uninstalled", "own crash output, installed again",
	} {
		t.Run(way, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, "armed", way)
			checkEnding(t, host, panics[0])
			text, err := os.ReadFile(filepath.Join(dir, "own.txt"))
			if err != nil || string(text) != host.stderr || !strings.HasPrefix(host.stdout, "set\n") {
				t.Errorf("the program's own file holds %q, %v; standard error %q", text, err, host.stderr)
			}
		})
	}
}
