package crashmonitor_test

import (
	"strings"
	"testing"
)

// A C program that loads a Go library, and installs crash-monitor before or after. Where the library comes last, Go's
// handler is in front of ours and passes on what is not Go's; where it comes first, Go ends the process as ever.
func TestGoLibraryInACProgram(t *testing.T) {
	for _, test := range []struct {
		way       string
		alone     string // How the process ends without crash-monitor.
		behind    string // How it ends where Go's handler passes on to ours.
		stderr    string
		exception exception
	}{
		{"host", "segmentation fault", "segmentation fault", "^$", segv("chost")},
		// SIGQUIT is how Go tells its other threads to print, and a library has no handler for it.
		{"golib_segv", "quit", "segmentation fault", traceback("SIGSEGV", segvMapErr), segv("golib")},
		{"golib_panic", "aborted", "aborted", "^panic: nobody recovers this\n", aborted("golib", "")},
	} {
		for _, steps := range []string{"load", "load install", "install load", "install load install"} {
			t.Run(test.way+" "+steps, func(t *testing.T) {
				dir := newDumpDir(t)
				host := run(t, dir, chost.program(t, "chost"), dir, library.program(t, "golib"), steps, test.way)
				want := crash{ending: test.alone, stderr: test.stderr}
				if strings.HasPrefix(steps, "install") {
					want.ending = test.behind
				}
				if want.ending == "segmentation fault" {
					want.stderr = "^$"
				}
				checkEnding(t, host, want)
				if steps == "load" {
					checkNoDump(t, dir)
				} else {
					checkOnlyDump(t, dir, "chost", host, test.exception)
					if got := readMinidump(t, glob(t, dir, "*.dmp")[0]).annotations["library"]; got != "golib" {
						t.Errorf("the library's annotation is %q", got)
					}
				}
			})
		}
	}
}

func TestGoLibraryCapturesAPanic(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, chost.program(t, "chost"), dir, library.program(t, "golib"), "install load", "golib_captured_panic")
	checkEnding(t, host, crash{ending: "exit status 0", stderr: "^$"})
	dumps := glob(t, dir, "*.dmp")
	if len(dumps) != 1 {
		t.Fatalf("found %v, want one dump", dumps)
	}
	checkPanic(t, dumps[0], "captured", "string", "main.golib_captured_panic(")
}
