package crashmonitor_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"crashmonitor"
)

func TestInstallTwice(t *testing.T) {
	dir := newDumpDir(t)
	uninstallAtEnd(t)
	if err := crashmonitor.Install(dir, ""); err != nil {
		t.Fatal(err)
	}
	if err := crashmonitor.Install(dir, filepath.Join(dir, "monitor.sock")); err != nil {
		t.Errorf("the same arguments are refused: %v", err)
	}
	err := crashmonitor.Install(dir, "", crashmonitor.WithAppName("other"))
	if !errors.Is(err, crashmonitor.ErrAlreadyInstalled) {
		t.Errorf("other arguments give %v", err)
	}
	if err := crashmonitor.Uninstall(); err != nil {
		t.Errorf("Uninstall: %v", err)
	}
	if err := crashmonitor.Uninstall(); !errors.Is(err, crashmonitor.ErrNotInstalled) {
		t.Errorf("a second Uninstall gives %v", err)
	}
	if err := crashmonitor.Install(dir, ""); err != nil {
		t.Errorf("Install after Uninstall: %v", err)
	}
}

func TestOptionsReachTheMonitor(t *testing.T) {
	dir := newDumpDir(t)
	uninstallAtEnd(t)
	err := crashmonitor.Install(dir, filepath.Join(dir, "other.sock"),
		crashmonitor.WithMonitorPath(exe.program(t, "selfmonitor")),
		crashmonitor.WithMonitorLog(filepath.Join(dir, "monitor.log")),
		crashmonitor.WithDeadline(deadline))
	if err != nil {
		t.Fatal(err)
	}
	if len(glob(t, dir, "other.sock")) != 1 {
		t.Error("no monitor listens at the socket path")
	}
	log, err := os.ReadFile(filepath.Join(dir, "monitor.log"))
	if err != nil || !strings.Contains(string(log), "other.sock") {
		t.Errorf("the monitor's log: %v: %q", err, log)
	}
	if err := crashmonitor.Uninstall(); err != nil {
		t.Error(err)
	}
	waitFor(t, "selfmonitor to end", func() bool { return len(glob(t, dir, "served.*")) == 1 })
}

func TestBadArguments(t *testing.T) {
	dir := newDumpDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	longSocket := "/" + strings.Repeat("s", 107)
	for _, test := range []struct {
		dumpDir, socketPath string
		option              crashmonitor.Option
		status              crashmonitor.Status
		message             string // A part of it.
	}{
		{"", "", nil, crashmonitor.ErrInvalidArgument, "dump_dir is empty"},
		{"a\x00b", "", nil, crashmonitor.ErrInvalidArgument, `dump directory "a\x00b" holds a NUL`},
		{dir, "a\x00b", nil, crashmonitor.ErrInvalidArgument, `socket path "a\x00b" holds a NUL`},
		{dir, longSocket, nil, crashmonitor.ErrSocket, "107"},
		{file, "", nil, crashmonitor.ErrDumpDir, file},
		{dir, file, nil, crashmonitor.ErrSocket, file},
		{dir, "", crashmonitor.WithAppName(""), crashmonitor.ErrInvalidArgument, "app_name"},
		{dir, "", crashmonitor.WithAppName("a/b"), crashmonitor.ErrInvalidArgument, "a/b"},
		{dir, "", crashmonitor.WithAppName("a\x00b"), crashmonitor.ErrInvalidArgument, "app name"},
		{dir, "", crashmonitor.WithMonitorPath("a\x00b"), crashmonitor.ErrInvalidArgument, "monitor path"},
		{dir, "", crashmonitor.WithMonitorPath("/missing"), crashmonitor.ErrMonitorStart, "/missing"},
		{dir, "", crashmonitor.WithMonitorPath("/bin/true"), crashmonitor.ErrMonitorStart, "cm_run_monitor"},
		{dir, "", crashmonitor.WithMonitorLog("a\x00b"), crashmonitor.ErrInvalidArgument, "monitor log"},
		{dir, "", crashmonitor.WithDeadline(99 * time.Millisecond), crashmonitor.ErrInvalidArgument, "99 ms"},
		{dir, "", crashmonitor.WithDeadline(-time.Second), crashmonitor.ErrInvalidArgument, "deadline"},
		{dir, "", crashmonitor.WithDeadline(1 << 32 * time.Millisecond), crashmonitor.ErrInvalidArgument, "deadline"},
	} {
		var options []crashmonitor.Option
		if test.option != nil {
			options = append(options, test.option)
		}
		err := crashmonitor.Install(test.dumpDir, test.socketPath, options...)
		var failure *crashmonitor.Error
		if !errors.As(err, &failure) || !errors.Is(err, test.status) || !strings.Contains(failure.Message, test.message) {
			t.Errorf("Install gives %q, want %q with %q", err, test.status, test.message)
		}
		if err := crashmonitor.Uninstall(); !errors.Is(err, crashmonitor.ErrNotInstalled) {
			t.Errorf("after %q Uninstall gives %v", test.message, err)
		}
	}
}

func TestDeadline(t *testing.T) {
	dir := newDumpDir(t)
	hanging := filepath.Join(dir, "hanging")
	if err := os.WriteFile(hanging, []byte("#!/bin/sh\nexec tail -f /dev/null\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := crashmonitor.Install(dir, "",
		crashmonitor.WithMonitorPath(hanging), crashmonitor.WithDeadline(200*time.Millisecond))
	if !errors.Is(err, crashmonitor.ErrTimeout) || !strings.Contains(err.Error(), "200 ms") {
		t.Errorf("a monitor that hangs gives %v", err)
	}
}

// The library keeps its last message by thread, and goroutines change threads.
func TestErrorsAreTheirOwnCallers(t *testing.T) {
	var calls sync.WaitGroup
	for i := 0; i < 50; i++ {
		name := fmt.Sprintf("/%d/", i)
		calls.Add(1)
		go func() {
			defer calls.Done()
			for j := 0; j < 2000; j++ {
				err := crashmonitor.Install("unused", "", crashmonitor.WithAppName(name))
				if err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("app name %q gives %v", name, err)
				}
			}
		}()
	}
	calls.Wait()
}

func TestVersion(t *testing.T) {
	if version := crashmonitor.Version(); !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		t.Errorf("%q", version)
	}
}

func TestStatusHasANameAndAMeaning(t *testing.T) {
	want := "CM_ERR_SOCKET: the socket path cannot be used"
	if text := crashmonitor.ErrSocket.Error(); text != want {
		t.Errorf("%q, want %q", text, want)
	}
}

func TestRunMonitorInAHost(t *testing.T) {
	// With functions to call too, and more than once.
	for try := 0; try < 2; try++ {
		ran, err := crashmonitor.RunMonitor(
			crashmonitor.WithReportCallback(func(crashmonitor.Report) { t.Error("a report in a host") }),
			crashmonitor.WithLogCallback(func(slog.Level, string) { t.Error("a log in a host") }),
		)
		if ran || err != nil {
			t.Errorf("%v, %v", ran, err)
		}
	}
}

func TestRunMonitorFails(t *testing.T) {
	monitor := run(t, t.TempDir(), exe.program(t, "selfmonitor"), "--crash-monitor", "--colour")
	if monitor.ending() != "exit status 1" || !strings.Contains(monitor.stderr, "--colour") {
		t.Errorf("ended with %q\n%s", monitor.ending(), monitor.stderr)
	}
}

// uninstallAtEnd has the monitor go also where a test ends early.
func uninstallAtEnd(t *testing.T) {
	t.Cleanup(func() { _ = crashmonitor.Uninstall() })
}
