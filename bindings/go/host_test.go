package crashmonitor_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline is how long a test waits for anything.
const deadline = 60 * time.Second

// A process is a program that runs.
type process struct {
	command *exec.Cmd
	// Ends the standard input.
	release func() error
	output  string // The directory with stdout and stderr.
}

// An outcome is how a program has ended.
type outcome struct {
	program        string
	pid            int
	status         syscall.WaitStatus
	stdout, stderr string
}

// start starts a program. Where the test does not wait for its end, it is killed.
func start(t *testing.T, dir, program string, arguments ...string) *process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	process := &process{command: exec.CommandContext(ctx, program, arguments...), output: t.TempDir()}
	command := process.command
	command.Dir = dir
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	process.release = stdin.Close
	// Files, which the test can read while the program runs.
	stdout, err := os.Create(filepath.Join(process.output, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(process.output, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	command.Stdout, command.Stderr = stdout, stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = command.Wait() // An error where the test has waited.
	})
	return process
}

// waitUntilReady waits until the program waits for the end of its standard input.
func (p *process) waitUntilReady(t *testing.T) {
	t.Helper()
	waitFor(t, "the program to be ready", func() bool { return strings.Contains(p.read(t, "stdout"), "ready\n") })
}

func (p *process) read(t *testing.T, stream string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.output, stream))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wait has the program run to its end.
func (p *process) wait(t *testing.T) outcome {
	t.Helper()
	_ = p.release() // An error where the test has done it.
	err := p.command.Wait()
	state := p.command.ProcessState
	if state == nil {
		t.Fatalf("%v: %v", p.command, err)
	}
	status := state.Sys().(syscall.WaitStatus)
	return outcome{p.command.Path, state.Pid(), status, p.read(t, "stdout"), p.read(t, "stderr")}
}

// run runs a program to its end.
func run(t *testing.T, dir, program string, arguments ...string) outcome {
	t.Helper()
	return start(t, dir, program, arguments...).wait(t)
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

// monitorOf returns the process that listens at the socket in dir.
func monitorOf(t *testing.T, dir string) int {
	t.Helper()
	connection, err := net.Dial("unixpacket", filepath.Join(dir, "monitor.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	socket, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var peer *syscall.Ucred
	if control := socket.Control(func(fd uintptr) {
		peer, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); control != nil || err != nil {
		t.Fatal(control, err)
	}
	return int(peer.Pid)
}

// waitFor waits until something has come true.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	for !done() {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", deadline, what)
		}
		time.Sleep(time.Millisecond)
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
