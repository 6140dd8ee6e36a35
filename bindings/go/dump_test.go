package crashmonitor_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// A dump is at most this long, however much memory the program has.
const dumpMax = 2 << 20

// An exception is what a dump has to say about a crash.
type exception struct {
	signal  syscall.Signal
	code    int32 // The signal's si_code.
	address uint64
	module  string // Where the program counter is.
	stack   string // What lies on the crashing thread's stack.
}

// atStackPointer as an address means near the stack pointer.
const atStackPointer = ^uint64(0)

func checkEnding(t *testing.T, host outcome, want crash) {
	t.Helper()
	if host.ending() != want.ending {
		t.Errorf("ended with %q, want %q", host.ending(), want.ending)
	}
	if !regexp.MustCompile(want.stderr).MatchString(host.stderr) {
		t.Errorf("standard error does not match %q:\n%s", want.stderr, host.stderr)
	}
}

func checkNoDump(t *testing.T, dir string) {
	t.Helper()
	if dumps := glob(t, dir, "*.dmp"); len(dumps) != 0 {
		t.Errorf("found %v", dumps)
	}
}

// checkOnlyDump checks the one dump in dir, which has to be that of the host.
func checkOnlyDump(t *testing.T, dir, app string, host outcome, want exception) {
	t.Helper()
	dumps := glob(t, dir, "*.dmp")
	name := regexp.MustCompile(fmt.Sprintf(`^%s-\d+-%d\.dmp$`, regexp.QuoteMeta(app), host.pid))
	if len(dumps) != 1 || !name.MatchString(filepath.Base(dumps[0])) {
		t.Fatalf("found %v, want one that matches %q\n%s", dumps, name, host.stderr)
	}
	checkDump(t, dumps[0], host, want)
}

func checkDump(t *testing.T, path string, host outcome, want exception) {
	t.Helper()
	if file, err := os.Stat(path); err != nil || file.Size() > dumpMax {
		t.Errorf("%v, %v: want at most %d bytes", file, err, dumpMax)
	}
	dump := readMinidump(t, path)
	if dump.signal != uint32(want.signal) || dump.code != want.code {
		t.Errorf("signal %d, code %d; want %d, %d", dump.signal, dump.code, want.signal, want.code)
	}
	if want.address == atStackPointer {
		if distance := int64(dump.address - dump.sp); distance < -256 || distance > 256 {
			t.Errorf("address %#x, stack pointer %#x", dump.address, dump.sp)
		}
	} else if dump.address != want.address {
		t.Errorf("address %#x, want %#x", dump.address, want.address)
	}
	if thread := fmt.Sprintf("thread %d\n", dump.thread); !strings.Contains(host.stdout, thread) {
		t.Errorf("thread %d crashed, the program printed %q", dump.thread, host.stdout)
	}
	if stack := dump.stacks[dump.thread]; len(stack) == 0 || !bytes.Contains(stack, []byte(want.stack)) {
		t.Errorf("the %d stack bytes of thread %d do not hold %q", len(stack), dump.thread, want.stack)
	}
	if module := filepath.Base(dump.moduleAt(dump.pc)); module != want.module {
		t.Errorf("the program counter %#x is in %q, want %q", dump.pc, module, want.module)
	}
	if len(dump.modules) == 0 || dump.modules[0].name != host.program {
		t.Errorf("the first module is not %s: %v", host.program, dump.modules)
	}
}
