package crashmonitor_test

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"crashmonitor"
)

// A build makes programs of testdata. It is made once, when it is first asked for.
type build func() (dir string, err error)

var (
	exe  = goBuild("./testdata/bare", "./testdata/host", "./testdata/reporter", "./testdata/selfmonitor")
	pie  = goBuild("-buildmode=pie", "./testdata/host")
	race = goBuild("-race", "./testdata/host")
	// With libcrash_monitor.a.
	static = newBuild(func(dir string) error {
		command := goCommand(".", "build", "-o", dir, "./testdata/selfmonitor")
		libraries := os.Getenv("CGO_LDFLAGS") + " -Wl,--as-needed -l:libcrash_monitor.a"
		command.Env = append(os.Environ(), "CGO_LDFLAGS="+libraries)
		return output(command)
	})
	library = goBuild("-buildmode=c-shared", "./testdata/golib")
	chost   = newBuild(func(dir string) error {
		const compile = `${CC:-cc} $CGO_CFLAGS -o "$0/chost" testdata/chost.c testdata/crash/crash.c ` +
			`$CGO_LDFLAGS -lcrash_monitor -ldl -lpthread`
		return output(exec.Command("/bin/sh", "-c", compile, dir))
	})
)

// programs is the directory that the builds are in.
var programs string

func TestMain(m *testing.M) {
	if ran, err := crashmonitor.RunMonitor(); ran {
		if err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Unsetenv("GOTRACEBACK") // It changes how Go programs end.
	var err error
	if programs, err = os.MkdirTemp("", "crashmonitor"); err != nil {
		log.Fatal(err)
	}
	status := m.Run()
	os.RemoveAll(programs)
	os.Exit(status)
}

func newBuild(make func(dir string) error) build {
	return sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(programs, "")
		if err != nil {
			return "", err
		}
		return dir, make(dir)
	})
}

// goBuild builds packages with the go command's arguments.
func goBuild(arguments ...string) build {
	return newBuild(func(dir string) error {
		return output(goCommand(".", append([]string{"build", "-o", dir}, arguments...)...))
	})
}

// program returns the path of a program.
func (b build) program(t *testing.T, name string) string {
	t.Helper()
	dir, err := b()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// goCommand is the go command that runs the tests: that one has put itself first in PATH.
func goCommand(dir string, arguments ...string) *exec.Cmd {
	command := exec.Command("go", arguments...)
	command.Dir = dir
	return command
}

// output runs a command; an error holds what it has printed.
func output(command *exec.Cmd) error {
	if printed, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %v\n%s", command, err, printed)
	}
	return nil
}
