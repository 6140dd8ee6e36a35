package crashmonitor_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crashmonitor"
)

// deadline is how long a test waits for anything.
const deadline = 60 * time.Second

// programs is the directory that holds the built programs of testdata.
var programs string

func TestMain(m *testing.M) {
	if ran, err := crashmonitor.RunMonitor(); ran {
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "crashmonitor"); err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(programs)
	if err := goTool(".", "build", "-o", programs, "./testdata/host", "./testdata/selfmonitor"); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// program returns the path of a program of testdata.
func program(name string) string {
	return filepath.Join(programs, name)
}

// goTool runs the go command that runs the tests.
func goTool(dir string, arguments ...string) error {
	command := exec.Command("go", arguments...)
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %v\n%s", command, err, output)
	}
	return nil
}

// An outcome is how a program has ended.
type outcome struct {
	program        string
	pid            int
	status         syscall.WaitStatus
	stdout, stderr string
}

// run runs a program to its end.
func run(t *testing.T, dir, program string, arguments ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var stdout, stderr strings.Builder
	command := exec.CommandContext(ctx, program, arguments...)
	command.Dir, command.Stdout, command.Stderr = dir, &stdout, &stderr
	err := command.Run()
	if command.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%v: %v, %v\n%s", command, err, ctx.Err(), &stderr)
	}
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	return outcome{program, command.Process.Pid, status, stdout.String(), stderr.String()}
}

// ending says how the program has ended.
func (o outcome) ending() string {
	if o.status.Signaled() {
		return o.status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", o.status.ExitStatus())
}

// newDumpDir returns an empty directory. At its end the test waits for the monitor that listens in it.
func newDumpDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { waitForMonitor(t, dir) })
	return dir
}

// waitForMonitor waits until the monitor whose socket lies in dir has ended.
func waitForMonitor(t *testing.T, dir string) {
	t.Helper()
	waitFor(t, "the monitor to end", func() bool { return len(glob(t, dir, "*.sock*")) == 0 })
}

// waitFor waits until something has come true.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", deadline, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// glob returns the files in dir whose names match the pattern.
func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
