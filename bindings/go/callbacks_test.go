package crashmonitor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// A reporting is a monitor that has Go functions called, and its hosts.
type reporting struct {
	dir   string // What the monitor's functions leave.
	dumps string
	hosts []*process
}

// startReporting starts hosts, one for each way to end, which share a monitor.
func startReporting(t *testing.T, dumps string, ways ...string) *reporting {
	t.Helper()
	r := &reporting{dir: newDumpDir(t), dumps: dumps}
	for _, way := range ways {
		host := start(t, r.dir, exe.program(t, "reporter"), dumps, filepath.Join(r.dir, "monitor.sock"), way)
		host.waitUntilReady(t)
		r.hosts = append(r.hosts, host)
	}
	return r
}

// end has the hosts end, all at once, and gives their process ids.
func (r *reporting) end(t *testing.T) (pids []int) {
	t.Helper()
	for _, host := range r.hosts {
		if err := host.release(); err != nil {
			t.Fatal(err)
		}
	}
	for _, host := range r.hosts {
		pids = append(pids, host.wait(t).pid)
	}
	return pids
}

// left returns the lines that the monitor's functions have left in a file, sorted.
func (r *reporting) left(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines = lines[:len(lines)-1] // Empty, or not whole yet.
	sort.Strings(lines)
	return lines
}

// goOn lets the calls with reports come to their end.
func (r *reporting) goOn(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, "go on"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "RunMonitor to return", func() bool { return len(r.left(t, "served")) > 0 })
	if served := r.left(t, "served"); len(served) != 1 || served[0] != "<nil>\n" {
		t.Errorf("RunMonitor gave %q", served)
	}
}

// Two reports that take their time: neither waits for the other, the monitor for neither, RunMonitor for both.
func TestReportCallback(t *testing.T) {
	dumps := t.TempDir()
	r := startReporting(t, dumps, "crash", "exit")
	pids := r.end(t)
	waitFor(t, "both reports to be begun", func() bool { return len(r.left(t, "begun")) == 2 })
	waitForMonitor(t, r.dir)
	if ended, served := r.left(t, "reports"), r.left(t, "served"); len(ended)+len(served) != 0 {
		t.Errorf("the reports %q have ended, RunMonitor gave %q", ended, served)
	}
	r.goOn(t)

	reports := r.left(t, "reports")
	name := func(host int, kind string) string {
		return fmt.Sprintf(`%s/reporter-\d+-%d\.%s`, dumps, pids[host], kind)
	}
	death := fmt.Sprintf("^\"\" \"%s\"\n$", name(1, "json"))
	crash := fmt.Sprintf("^\"%s\" \"%s\"\n$", name(0, "dmp"), name(0, "json"))
	if len(reports) != 2 ||
		!regexp.MustCompile(death).MatchString(reports[0]) || !regexp.MustCompile(crash).MatchString(reports[1]) {
		t.Errorf("the reports are %q, want %q and %q", reports, death, crash)
	}
	// Which status the process has exited with, kernels before 6.15 do not tell; Go's crash text comes with Go 1.23.
	details := strings.Join(r.left(t, "details"), "")
	for _, want := range []string{
		fmt.Sprintf(`(?m)^crash reporter %d true 11 -1 "" map\["empty":"" "way":"crash"\] [01]$`, pids[0]),
		fmt.Sprintf(`(?m)^death reporter %d false 0 (3|-1) "" map\["empty":"" "way":"exit"\] 0$`, pids[1]),
	} {
		if !regexp.MustCompile(want).MatchString(details) {
			t.Errorf("the reports say\n%s, without %q", details, want)
		}
	}
}

// The paths are longer than what a pipe takes at once, and many reports come at the same time.
func TestReportCallbacksWithLongPaths(t *testing.T) {
	dumps := t.TempDir() + strings.Repeat("/"+strings.Repeat("d", 250), 14)
	r := startReporting(t, dumps, "crash", "crash", "crash", "crash", "crash", "crash", "crash", "crash")
	pids := r.end(t)
	r.goOn(t)
	reports := strings.Join(r.left(t, "reports"), "")
	whole := regexp.MustCompile(fmt.Sprintf(`"%[1]s/reporter-\d+-(\d+)\.dmp" "%[1]s/reporter-\d+-\d+\.json"\n`, dumps))
	found := map[string]bool{}
	for _, match := range whole.FindAllStringSubmatch(reports, -1) {
		found[match[1]] = true
	}
	if rest := whole.ReplaceAllString(reports, ""); rest != "" {
		t.Errorf("not whole: %q", rest)
	}
	for _, pid := range pids {
		if !found[fmt.Sprint(pid)] {
			t.Errorf("no report of process %d", pid)
		}
	}
}

// The log has lines of the monitor's own and of the processes that write its dumps.
func TestLogCallback(t *testing.T) {
	r := startReporting(t, t.TempDir(), "crash", "crash", "exit")
	pids := r.end(t)
	r.goOn(t)
	log := strings.Join(r.left(t, "lines"), "")
	for _, want := range []string{
		fmt.Sprintf(`(?m)^INFO listening at %s/monitor\.sock$`, r.dir),
		fmt.Sprintf(`(?m)^INFO process %d reports signal 11 in thread \d+$`, pids[0]),
		fmt.Sprintf(`(?m)^WARN process %d ended without a goodbye`, pids[2]),
		`(?m)^INFO removed .*\.dmp: more than the retention keeps$`, // By one that has written a dump.
		`(?m)^INFO ending: no host is left$`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("the log is without %q:\n%s", want, log)
		}
	}
}
