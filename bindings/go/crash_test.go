package crashmonitor_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// A crash is a way for the host to end, and what has to come of it.
type crash struct {
	way     string
	signal  syscall.Signal
	code    int32 // The signal's si_code.
	address uint64
	module  string // Where the program counter is.
	stack   string // What lies on the crashing thread's stack.
	ending  string
	stderr  string // A regular expression.
}

const (
	segvMapErr = 1  // si_code of a fault at an address where nothing is mapped.
	siTkill    = -6 // si_code of a signal that was sent to a thread.
)

// mark is what C code puts on its stack before it crashes.
const mark = "on the stack of the crashing thread"

var crashes = []crash{
	{
		"main goroutine", syscall.SIGSEGV, segvMapErr, 0xdead000, "host", mark,
		"exit status 2", traceback("SIGSEGV", segvMapErr),
	},
	{
		"goroutine", syscall.SIGSEGV, segvMapErr, 0xdead000, "host", mark,
		"exit status 2", traceback("SIGSEGV", segvMapErr),
	},
	{
		"after recovered faults", syscall.SIGSEGV, segvMapErr, 0xdead000, "host", mark,
		"exit status 2", traceback("SIGSEGV", segvMapErr),
	},
	{
		"C thread", syscall.SIGSEGV, segvMapErr, 0xdead000, "host", mark,
		"segmentation fault", "^$",
	},
	{
		"abort", syscall.SIGABRT, siTkill, 0, "libc.so.6", mark,
		"exit status 2", traceback("SIGABRT", siTkill),
	},
	{
		"panic under GOTRACEBACK=crash", syscall.SIGABRT, siTkill, 0, "host", "",
		"aborted", "^panic: nobody recovers this\n",
	},
}

// traceback returns the expression that Go's traceback begins with. Go prints the code as an unsigned number.
func traceback(signal string, code int64) string {
	return fmt.Sprintf(`^%s: .*\nPC=.* sigcode=%d\b.*\nsignal arrived during cgo execution\n`, signal, uint64(code))
}

func TestCrash(t *testing.T) {
	for _, want := range crashes {
		t.Run(want.way, func(t *testing.T) {
			dir := newDumpDir(t)
			host := runHost(t, dir, "armed", want)
			checkDump(t, dir, "gohost", host, want)
		})
	}
}

// The ending is the same without crash-monitor: it is Go's own.
func TestNoDumpUnlessArmed(t *testing.T) {
	for _, want := range crashes {
		for _, state := range []string{"never", "disarmed"} {
			t.Run(want.way+" "+state, func(t *testing.T) {
				dir := newDumpDir(t)
				runHost(t, dir, state, want)
				if dumps := glob(t, dir, "*.dmp"); len(dumps) != 0 {
					t.Errorf("found %v", dumps)
				}
			})
		}
	}
}

func TestPanicLeavesNoDump(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{way: "panic", ending: "exit status 2", stderr: "^panic: nobody recovers this\n"}
	runHost(t, dir, "armed", want)
	if dumps := glob(t, dir, "*.dmp"); len(dumps) != 0 {
		t.Errorf("found %v", dumps)
	}
}

func TestProgramIsItsOwnMonitor(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, program("selfmonitor"), dir)
	want := crashes[0]
	want.module = "selfmonitor"
	checkDump(t, dir, "selfmonitor", host, want)
	checkEnding(t, host, want)
	waitFor(t, "RunMonitor to return in the monitor", func() bool { return len(glob(t, dir, "served")) == 1 })
}

// runHost has the host crash and checks that it ends as it should.
func runHost(t *testing.T, dir, state string, want crash) outcome {
	t.Helper()
	host := run(t, dir, program("host"), dir, state, want.way)
	checkEnding(t, host, want)
	return host
}

func checkEnding(t *testing.T, host outcome, want crash) {
	t.Helper()
	if host.ending() != want.ending {
		t.Errorf("ended with %q, want %q", host.ending(), want.ending)
	}
	if !regexp.MustCompile(want.stderr).MatchString(host.stderr) {
		t.Errorf("standard error does not match %q:\n%s", want.stderr, host.stderr)
	}
}

// checkDump checks the one dump in dir, which has to be that of the host.
func checkDump(t *testing.T, dir, app string, host outcome, want crash) {
	t.Helper()
	dumps := glob(t, dir, "*.dmp")
	name := regexp.MustCompile(fmt.Sprintf(`^%s-\d+-%d\.dmp$`, app, host.pid))
	if len(dumps) != 1 || !name.MatchString(filepath.Base(dumps[0])) {
		t.Fatalf("found %v, want one that matches %q\n%s", dumps, name, host.stderr)
	}
	dump := readMinidump(t, dumps[0])

	if dump.signal != uint32(want.signal) || dump.code != want.code || dump.address != want.address {
		t.Errorf("signal %d, code %d, address %#x; want %d, %d, %#x",
			dump.signal, dump.code, dump.address, want.signal, want.code, want.address)
	}
	var thread uint32
	if _, err := fmt.Sscanf(host.stdout, "thread %d\n", &thread); err != nil {
		t.Fatalf("%v: %q", err, host.stdout)
	}
	if dump.thread != thread {
		t.Errorf("thread %d crashed, want %d", dump.thread, thread)
	}
	if stack := dump.stacks[thread]; len(stack) == 0 || !bytes.Contains(stack, []byte(want.stack)) {
		t.Errorf("the %d stack bytes of thread %d do not hold %q", len(stack), thread, want.stack)
	}
	if module := filepath.Base(dump.moduleAt(dump.pc)); module != want.module {
		t.Errorf("the program counter %#x is in %q, want %q", dump.pc, module, want.module)
	}
	if len(dump.modules) == 0 || dump.modules[0].name != host.program {
		t.Errorf("the first module is not %s: %v", host.program, dump.modules)
	}
}
