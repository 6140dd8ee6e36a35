package crashmonitor_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"crashmonitor"
)

// A line of the log, as records have it.
type line struct {
	Time  string
	Level string
	TID   int
	Text  string
}

// The lines that the host writes.
var written = []line{
	{Level: "error", Text: "schön\x00"},
	{Level: "debug", Text: ""},
	{Level: "info", Text: strings.Repeat("ü", 512)},

	{Level: "info", Text: ""},
	{Level: "info", Text: `two words count=7 text="two words" none=<nil>`},
	{Level: "info", Text: `"two\nlines" "a key"="a \"quote\"" bad="\xff"`},
	{Level: "info", Text: "values secret=hidden error=no failing=true"},
	{Level: "warning", Text: "long text=" + strings.Repeat("x", 1014)},
	{Level: "error", Text: "groups a=1 g.b=2 g.c=3 g.h.d=4 g.e=5"},
	{Level: "debug", Text: "for the log alone a=1 g.b=2"},
	{Level: "warning", Text: "for both a=1 g.b=2"},
}

// What goes to the handler behind that of the log.
const passedOn = "level=WARN msg=\"for both\" a=1 g.b=2\nlevel=WARN msg=\"for the next alone\"\n"

func checkLog(t *testing.T, host outcome, record record) {
	t.Helper()
	var thread int
	if _, err := fmt.Sscanf(host.stdout, "thread %d\n", &thread); err != nil {
		t.Fatalf("%v: %q", err, host.stdout)
	}
	if len(record.Log) != len(written) {
		t.Fatalf("the log is %+v", record.Log)
	}
	for i, got := range record.Log {
		if got.Level != written[i].Level || got.Text != written[i].Text || got.TID != thread || got.Time == "" {
			t.Errorf("line %d is %+v of thread %d, want %+v", i, got, thread, written[i])
		}
	}
	if !strings.Contains(host.stdout, passedOn) {
		t.Errorf("the program printed %q, want %q", host.stdout, passedOn)
	}
}

func TestLogIsInTheDump(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"with a log", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed", want.way)
	checkEnding(t, host, want)
	checkOnlyDump(t, dir, "gohost", host, want.exception)
	path := glob(t, dir, "*.dmp")[0]
	record := readRecord(t, path)
	checkLog(t, host, record)
	text := readMinidump(t, path).annotations["log"]
	for _, line := range record.Log {
		if shown := fmt.Sprintf("%s %-7s %d %s\n", line.Time, line.Level, line.TID, line.Text); !strings.Contains(text, shown) {
			t.Errorf("the dump's log is without %q\n%s", shown, text)
		}
	}
}

func TestKilledProcessLeavesLogAndAnnotations(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, exe.program(t, "host"), dir, "armed", "killed with a log")
	checkEnding(t, host, crash{ending: "killed", stderr: "^$"})
	waitForMonitor(t, dir)
	record := readOnlyRecord(t, dir)
	if record.Kind != "death" {
		t.Errorf("the record is of a %s", record.Kind)
	}
	checkLog(t, host, record)
	checkThreadAnnotations(t, host, record, map[string]string{"request": "GET /schön", "user": "anna"})
}

func TestSizeOfTheLog(t *testing.T) {
	dir := newDumpDir(t)
	run(t, dir, exe.program(t, "host"), dir, "armed with a small log", "with a small log")
	var texts []string
	for _, line := range readOnlyRecord(t, dir).Log {
		texts = append(texts, line.Text)
	}
	if want := []string{"3", "4"}; !reflect.DeepEqual(texts, want) {
		t.Errorf("the log is %q, want %q", texts, want)
	}
	err := crashmonitor.Install(dir, "", crashmonitor.WithLogBytes(1<<20+1))
	if !errors.Is(err, crashmonitor.ErrInvalidArgument) || !strings.Contains(err.Error(), "1048576") {
		t.Errorf("too large a log gives %v", err)
	}
}

func TestThreadAnnotationsAreInTheDump(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"annotated", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed", want.way)
	checkEnding(t, host, want)
	checkOnlyDump(t, dir, "gohost", host, want.exception)
	annotations := map[string]string{"request": "GET /schön", "user": "anna"}
	checkThreadAnnotations(t, host, readRecord(t, glob(t, dir, "*.dmp")[0]), annotations)
	dump := readMinidump(t, glob(t, dir, "*.dmp")[0])
	for key, value := range annotations {
		if key := fmt.Sprintf("thread.%d.%s", dump.thread, key); dump.annotations[key] != value {
			t.Errorf("the dump's annotations are %v, want %s=%s", dump.annotations, key, value)
		}
	}
}

func TestThreadAnnotationsEndWithTheCall(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, exe.program(t, "host"), dir, "armed", "after annotations")
	dumps := glob(t, dir, "*.dmp")
	if len(dumps) != 2 {
		t.Fatalf("found %v, want two dumps\n%s", dumps, host.stderr)
	}
	for _, dump := range dumps {
		record, annotations := readRecord(t, dump), map[string]string(nil)
		if record.Kind == "request" {
			annotations = map[string]string{"request": "outer"}
		}
		checkThreadAnnotations(t, host, record, annotations)
	}
}

// checkThreadAnnotations checks that the thread that the host has printed has these annotations, and no other one any.
func checkThreadAnnotations(t *testing.T, host outcome, record record, want map[string]string) {
	t.Helper()
	threads := map[string]map[string]string{}
	if want != nil {
		index := strings.LastIndex(host.stdout, "thread ")
		thread, _, _ := strings.Cut(host.stdout[index+len("thread "):], "\n")
		threads[thread] = want
	}
	if !reflect.DeepEqual(record.ThreadAnnotations, threads) {
		t.Errorf("thread annotations of a %s are %v, want %v", record.Kind, record.ThreadAnnotations, threads)
	}
}

// readOnlyRecord reads the only record in a dump directory.
func readOnlyRecord(t *testing.T, dir string) record {
	t.Helper()
	waitFor(t, "the record", func() bool { return len(glob(t, dir, "*.json")) > 0 })
	records := glob(t, dir, "*.json")
	if len(records) != 1 {
		t.Fatalf("found %v, want one record", records)
	}
	return readRecord(t, strings.TrimSuffix(records[0], ".json")+".dmp")
}
