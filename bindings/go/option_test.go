package crashmonitor_test

import (
	"bytes"
	"strings"
	"testing"
)

// ordinary is a crash of host.
var ordinary = crash{"goroutine", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}

func TestEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_A_TEST", "told")
	for state, want := range map[string]bool{"armed": false, "armed with environment": true} {
		t.Run(state, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, state, ordinary.way)
			checkOnlyDump(t, dir, "gohost", host, ordinary.exception)
			dump := readMinidump(t, glob(t, dir, "*.dmp")[0])
			if got := strings.Contains(dump.environment, "SECRET_OF_A_TEST=told\x00"); got != want {
				t.Errorf("the environment is in the dump: %v\n%q", got, dump.environment)
			}
		})
	}
}

func TestSanitizedStacks(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, exe.program(t, "host"), dir, "armed with sanitized stacks", ordinary.way)
	want := ordinary.exception
	want.stack = "" // Nothing in particular.
	checkOnlyDump(t, dir, "gohost", host, want)
	dump := readMinidump(t, glob(t, dir, "*.dmp")[0])
	if stack := dump.stacks[dump.thread]; bytes.Contains(stack, []byte(mark)) {
		t.Errorf("the stack holds %q", mark)
	}
}

func TestCrashCallback(t *testing.T) {
	for state, dumped := range map[string]bool{
		"armed with a callback": true, "armed with a callback that refuses": false,
	} {
		t.Run(state, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, state, ordinary.way)
			checkEnding(t, host, ordinary)
			if strings.Count(host.stdout, "called back\n") != 1 {
				t.Errorf("the program printed %q", host.stdout)
			}
			if dumped {
				checkOnlyDump(t, dir, "gohost", host, ordinary.exception)
			} else {
				checkNoDump(t, dir)
			}
		})
	}
}
