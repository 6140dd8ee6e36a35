package crashmonitor_test

import (
	"fmt"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// C code is linked into the same executable as Go code, but lies outside the range of Go's.
func TestGoCodeHasItsOwnRange(t *testing.T) {
	for name, build := range map[string]build{"exe": exe, "pie": pie, "race": race} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			output := run(t, dir, build.program(t, "host"), dir, "never", "addresses").stdout
			var begin, end, goCode, cCode uint64
			if _, err := fmt.Sscanln(output, &begin, &end, &goCode, &cCode); err != nil {
				t.Fatalf("%v: %q", err, output)
			}
			if goCode < begin || goCode >= end || (cCode >= begin && cCode < end) {
				t.Errorf("range %#x-%#x, Go code at %#x, C code at %#x", begin, end, goCode, cCode)
			}
		})
	}
}

// crash-handler puts itself in front of pthread_create, which gives threads smaller signal stacks than Go's.
func TestSignalStacksStayGos(t *testing.T) {
	dir := newDumpDir(t)
	want := run(t, dir, exe.program(t, "bare")).stdout
	if !strings.Contains(want, "32768") || !strings.Contains(want, "libc.so") {
		t.Fatalf("without crash-monitor: %q", want)
	}
	if got := run(t, dir, exe.program(t, "host"), dir, "armed", "signal stacks").stdout; got != want {
		t.Errorf("with crash-monitor %q, without %q", got, want)
	}
}

// The program of the package comment.
func TestQuickStart(t *testing.T) {
	binding, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(quickStart(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, arguments := range [][]string{
		{"mod", "init", "quickstart"},
		{"mod", "edit", "-require=crashmonitor@v0.0.0", "-replace=crashmonitor=" + binding},
		{"build"},
	} {
		if err := output(goCommand(dir, arguments...)); err != nil {
			t.Fatal(err)
		}
	}
	host := run(t, dir, filepath.Join(dir, "quickstart"))
	waitForMonitor(t, filepath.Join(dir, "crashes"))
	if host.ending() != "exit status 0" || host.stderr != "" {
		t.Errorf("ended with %q\n%s", host.ending(), host.stderr)
	}
	if dirs, files := glob(t, dir, "crashes"), glob(t, dir, "crashes/*"); len(dirs) != 1 || len(files) != 0 {
		t.Errorf("found %v and %v, want an empty dump directory", dirs, files)
	}
}

// quickStart returns the first code block of the package comment.
func quickStart(t *testing.T) string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range new(comment.Parser).Parse(file.Doc.Text()).Content {
		if code, ok := block.(*comment.Code); ok {
			return code.Text
		}
	}
	t.Fatal("the package comment holds no code")
	return ""
}

// The commands of README.md, in the root of the source tree.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(readme), "```sh\n")
	commands, _, _ = strings.Cut(commands, "```")

	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	shell := run(t, filepath.Join("..", ".."), "/bin/sh", "-c", commands)
	waitFor(t, "the monitor to end", func() bool { return len(glob(t, dir, "*/crashes/*.sock*")) == 0 })
	if !strings.Contains(shell.stderr, "SIGSEGV: segmentation violation\n") {
		t.Errorf("the program does not crash:\n%s", shell.stderr)
	}
	if dumps := glob(t, dir, "*/crashes/try-*.dmp"); len(dumps) != 1 {
		t.Errorf("found %v, want one dump", dumps)
	}
}
