package crashmonitor_test

import (
	"debug/elf"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// ownCrash is how selfmonitor crashes.
var ownCrash = crash{
	ending: "exit status 2", stderr: traceback("SIGSEGV", segvMapErr), exception: segv("selfmonitor"),
}

func TestProgramIsItsOwnMonitor(t *testing.T) {
	for name, build := range map[string]build{"shared library": exe, "static library": static} {
		t.Run(name, func(t *testing.T) {
			dir := newDumpDir(t)
			program := build.program(t, "selfmonitor")
			if needed := needsSharedLibrary(t, program); needed != (name == "shared library") {
				t.Errorf("linked with the shared library: %v", needed)
			}
			host := run(t, dir, program, dir)
			checkEnding(t, host, ownCrash)
			checkOnlyDump(t, dir, "selfmonitor", host, ownCrash.exception)
			waitFor(t, "RunMonitor to return in the monitor", func() bool { return len(glob(t, dir, "served.*")) == 1 })
		})
	}
}

func needsSharedLibrary(t *testing.T, program string) bool {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(strings.Join(libraries, " "), "libcrash_monitor.so")
}

// A thread of Go's gets the signal, which does not end the monitor with its work undone.
func TestMonitorEndsInGoodOrderBySigterm(t *testing.T) {
	for try := 0; try < 20; try++ {
		dir := newDumpDir(t)
		host := start(t, dir, exe.program(t, "selfmonitor"), dir)
		host.waitUntilReady(t)
		monitor := monitorOf(t, dir)
		if err := host.release(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "a dump to be begun", func() bool { return len(glob(t, dir, ".*.tmp"))+len(glob(t, dir, "*.dmp")) > 0 })
		terminate(t, dir, monitor)
		outcome := host.wait(t)
		checkEnding(t, outcome, ownCrash)
		checkOnlyDump(t, dir, "selfmonitor", outcome, ownCrash.exception)
	}
}

func TestIdleMonitorEndsInGoodOrderBySigterm(t *testing.T) {
	dir := newDumpDir(t)
	host := start(t, dir, exe.program(t, "selfmonitor"), dir)
	host.waitUntilReady(t)
	terminate(t, dir, monitorOf(t, dir))
	// A monitor started for this crash writes the dump.
	outcome := host.wait(t)
	checkEnding(t, outcome, ownCrash)
	checkOnlyDump(t, dir, "selfmonitor", outcome, ownCrash.exception)
	waitFor(t, "RunMonitor to return in that one", func() bool { return len(glob(t, dir, "served.*")) == 2 })
}

// terminate ends a monitor and checks that it has given up its socket before.
func terminate(t *testing.T, dir string, monitor int) {
	t.Helper()
	// After the first SIGTERM it takes no new hosts, after the second it ends although it has one.
	for _, step := range []struct {
		what, pattern string
		files         int
	}{
		{"the monitor to give up its socket", "*.sock*", 0},
		{"RunMonitor to return in the monitor", fmt.Sprintf("served.%d", monitor), 1},
	} {
		if err := syscall.Kill(monitor, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
		waitFor(t, step.what, func() bool { return len(glob(t, dir, step.pattern)) == step.files })
	}
}

// The monitor is started on what Go's signal stack has left of its 32 KiB.
func TestOverflowWithoutAMonitor(t *testing.T) {
	dir := newDumpDir(t)
	host := start(t, dir, exe.program(t, "host"), dir, "armed", "overflow once told")
	host.waitUntilReady(t)
	if err := syscall.Kill(monitorOf(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	outcome := host.wait(t)
	checkEnding(t, outcome, crash{ending: "exit status 2", stderr: traceback("SIGSEGV", segvAccErr)})
	checkOnlyDump(t, dir, "gohost", outcome, overflow(segvAccErr))
}
