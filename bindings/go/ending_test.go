package crashmonitor_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"syscall"
	"testing"
)

// aborted is what a dump says of a program that Go ends with SIGABRT.
func aborted(module, stack string) exception {
	return exception{signal: syscall.SIGABRT, code: siTkill, module: module, stack: stack}
}

// Ends by Go itself. All of them crash with WithPanicDumps.
var panics = []crash{
	{
		"panic", "exit status 2", "^panic: nobody recovers this\n",
		aborted("host", "on the stack of the panicking goroutine"),
	},
	{"wild pointer", "exit status 2", "^unexpected fault address 0xdead\nfatal error: fault\n", aborted("host", "")},
	{"unlock of unlocked mutex", "exit status 2", "^fatal error: sync: unlock of unlocked mutex\n", aborted("host", "")},
	{"concurrent map writes", "exit status 2", "^fatal error: concurrent map writes\n", aborted("host", "")},
	{"Go stack overflow", "exit status 2", "^runtime: goroutine stack exceeds ", aborted("host", "")},
}

func TestPanicLeavesARecordAlone(t *testing.T) {
	for _, want := range panics {
		t.Run(want.way, func(t *testing.T) {
			dir := newDumpDir(t)
			checkEnding(t, run(t, dir, exe.program(t, "host"), dir, "armed", want.way), want)
			checkRecord(t, dir, map[string]any{"status": 2.0})
		})
	}
}

func TestPanicDumps(t *testing.T) {
	for _, want := range panics {
		t.Run(want.way, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, "armed for panics", want.way)
			want.ending = "aborted"
			checkEnding(t, host, want)
			checkOnlyDump(t, dir, "gohost", host, want.exception)
		})
	}
}

// With WithPanicDumps too a crash in C code leaves one dump, and a panic that is recovered none.
func TestPanicDumpsAreNoMoreThanThat(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"after recovered faults", "aborted", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed for panics", want.way)
	checkEnding(t, host, want)
	checkOnlyDump(t, dir, "gohost", host, want.exception)
}

func TestPanicEndsAsEverWhereInstallFailed(t *testing.T) {
	dir := newDumpDir(t)
	checkEnding(t, run(t, dir, exe.program(t, "host"), dir, "refused", "panic"), panics[0])
	checkNoDump(t, dir)
}

func TestEndWithoutUninstall(t *testing.T) {
	for _, test := range []struct {
		way, ending string
		exit        map[string]any // What the record says; nil where there is to be none.
	}{
		{"return", "exit status 0", nil},
		{"os.Exit(0)", "exit status 0", nil},
		{"os.Exit(3)", "exit status 3", map[string]any{"status": 3.0}},
		{"SIGTERM after Reset", "terminated", map[string]any{
			"signal": map[string]any{"name": "SIGTERM", "number": 15.0}, "core": false,
		}},
	} {
		t.Run(test.way, func(t *testing.T) {
			dir := newDumpDir(t)
			checkEnding(t, run(t, dir, exe.program(t, "host"), dir, "armed", test.way), crash{ending: test.ending, stderr: "^$"})
			checkRecord(t, dir, test.exit)
		})
	}
}

// checkRecord checks that there is no dump, and a record of how the program has ended.
func checkRecord(t *testing.T, dir string, want map[string]any) {
	t.Helper()
	waitForMonitor(t, dir)
	checkNoDump(t, dir)
	records := glob(t, dir, "*.json")
	if len(records) == 0 && want == nil {
		return
	}
	if len(records) != 1 {
		t.Fatalf("found %v, want one record", records)
	}
	text, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Kind string
		Exit any
	}
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	// Kernels before 6.15 do not tell, and then every end leaves a record.
	unknown := record.Exit == "unknown" && !kernelTellsHowProcessesEnd(t)
	if record.Kind != "death" || !(unknown || want != nil && reflect.DeepEqual(record.Exit, want)) {
		t.Errorf("the record says %+v, want %v\n%s", record, want, text)
	}
}

func kernelTellsHowProcessesEnd(t *testing.T) bool {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(release), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 6 || major == 6 && minor >= 15
}
