package crashmonitor_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

const (
	segvMapErr = 1  // si_code of a fault at an address where nothing is mapped.
	segvAccErr = 2  // The same where there is a guard page.
	siUser     = 0  // si_code of a signal that was sent to a process.
	siTkill    = -6 // The same for a thread.
)

// mark is what C code puts on its stack before it crashes.
const mark = "on the stack of the crashing thread"

// A crash is a way for the host to end, how it ends that way, and what its dump has to hold.
type crash struct {
	way    string
	ending string
	stderr string // A regular expression.
	exception
}

// segv is what crash_segv in crash.c does.
func segv(module string) exception {
	return exception{signal: syscall.SIGSEGV, code: segvMapErr, address: 0xdead, module: module, stack: mark}
}

// overflow is what crash_overflow in crash.c does.
func overflow(code int32) exception {
	return exception{signal: syscall.SIGSEGV, code: code, address: atStackPointer, module: "host", stack: mark}
}

// traceback returns the expression that Go's traceback begins with. Go prints the code as an unsigned number.
func traceback(signal string, code int64) string {
	return fmt.Sprintf(`^%s: .*\nPC=.* sigcode=%d\b.*\nsignal arrived during cgo execution\n`, signal, uint64(code))
}

var crashes = []crash{
	{"main goroutine", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
	{"goroutine", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
	{"C thread", "segmentation fault", "^$", segv("host")},
	{"callback in a C thread", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
	{
		"abort", "exit status 2", traceback("SIGABRT", siTkill),
		exception{signal: syscall.SIGABRT, code: siTkill, module: "libc.so.6", stack: mark},
	},
	{"overflow", "exit status 2", traceback("SIGSEGV", segvMapErr), overflow(segvMapErr)},
	{"overflow in a goroutine", "exit status 2", traceback("SIGSEGV", segvAccErr), overflow(segvAccErr)},
	{"after recovered faults", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
	{"after callbacks that panic", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
	{"after signals of Go", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")},
}

func TestCrash(t *testing.T) {
	for name, build := range map[string]build{"exe": exe, "pie": pie, "race": race} {
		for _, want := range crashes {
			t.Run(name+" "+want.way, func(t *testing.T) {
				dir := newDumpDir(t)
				host := run(t, dir, build.program(t, "host"), dir, "armed", want.way)
				checkEnding(t, host, want)
				checkOnlyDump(t, dir, "gohost", host, want.exception)
			})
		}
	}
}

// The ending is the same without crash-monitor: it is Go's own.
func TestNoDumpUnlessArmed(t *testing.T) {
	for _, want := range crashes {
		for _, state := range []string{"never", "disarmed"} {
			t.Run(want.way+" "+state, func(t *testing.T) {
				dir := newDumpDir(t)
				checkEnding(t, run(t, dir, exe.program(t, "host"), dir, state, want.way), want)
				checkNoDump(t, dir)
			})
		}
	}
}

func TestDumpOfALargeHeap(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"large heap", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed", want.way)
	checkEnding(t, host, want)
	checkOnlyDump(t, dir, "gohost", host, want.exception)
}

// os/signal gets a SIGSEGV that was sent, as without crash-monitor. It leaves a dump all the same, and disarms.
func TestNotifiedSegvIsACrashToo(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"after a notified SIGSEGV", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed", want.way)
	checkEnding(t, host, want)
	if !strings.HasPrefix(host.stdout, "segmentation fault\n") {
		t.Errorf("os/signal got %q", host.stdout)
	}
	var codes []int32
	for _, path := range glob(t, dir, "*.dmp") {
		code := readMinidump(t, path).code
		if codes = append(codes, code); code != siUser {
			checkDump(t, path, host, want.exception)
		}
	}
	if len(codes) != 2 || codes[0]+codes[1] != siUser+segvMapErr {
		t.Errorf("dumps of codes %v, want %d and %d", codes, siUser, segvMapErr)
	}
}
