package crashmonitor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"crashmonitor"
)

// A record is what the tests look at in the .json file beside a dump.
type record struct {
	Kind        string
	Reason      string
	Annotations map[string]string
	Attachments []string
	Failed      []string

	ThreadAnnotations map[string]map[string]string `json:"thread_annotations"`
	Log               []line
}

// readRecord reads the record beside a dump.
func readRecord(t *testing.T, dump string) (r record) {
	t.Helper()
	path := strings.TrimSuffix(dump, ".dmp") + ".json"
	// The dump is there before the record.
	waitFor(t, path, func() bool { return len(glob(t, filepath.Dir(path), filepath.Base(path))) == 1 })
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExtrasAreInTheDump(t *testing.T) {
	dir := newDumpDir(t)
	want := crash{"with extras", "exit status 2", traceback("SIGSEGV", segvMapErr), segv("host")}
	host := run(t, dir, exe.program(t, "host"), dir, "armed", want.way)
	checkEnding(t, host, want)
	checkOnlyDump(t, dir, "gohost", host, want.exception)

	path := glob(t, dir, "*.dmp")[0]
	dump, record := readMinidump(t, path), readRecord(t, path)
	annotations := map[string]string{"build": "schön", "n\x00l": "o\x00e", "empty": ""}
	if !reflect.DeepEqual(dump.annotations, annotations) || !reflect.DeepEqual(record.Annotations, annotations) {
		t.Errorf("annotations %v, in the record %v; want %v", dump.annotations, record.Annotations, annotations)
	}
	checkAttachment(t, path, record, "program.log", "the program's log")
	var kept, removed uint64
	if _, err := fmt.Sscanf(host.stdout, "memory %d\nmemory %d\n", &kept, &removed); err != nil {
		t.Fatalf("%v: %q", err, host.stdout)
	}
	if memory := string(dump.memory[kept]); memory != "memory that is kept" {
		t.Errorf("the memory at %#x is %q", kept, memory)
	}
	if memory, there := dump.memory[removed]; there {
		t.Errorf("removed memory is there: %q", memory)
	}
}

// checkAttachment checks the copy of an attached file beside a dump.
func checkAttachment(t *testing.T, dump string, record record, name, content string) {
	t.Helper()
	copied := strings.TrimSuffix(filepath.Base(dump), ".dmp") + "." + name
	if !slices.Contains(record.Attachments, copied) || len(record.Failed) != 0 {
		t.Errorf("attachments %v, failed %v; want %s", record.Attachments, record.Failed, copied)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dump), copied))
	if err != nil || string(text) != content {
		t.Errorf("the copy is %q, %v; want %q", text, err, content)
	}
}

func TestDumpOnDemand(t *testing.T) {
	dir := newDumpDir(t)
	host := run(t, dir, exe.program(t, "host"), dir, "armed", "dump on demand")
	checkEnding(t, host, crash{ending: "exit status 0", stderr: "^$"})
	reasons := map[string]bool{}
	for _, path := range glob(t, dir, "*.dmp") {
		dump, record := readMinidump(t, path), readRecord(t, path)
		reasons[record.Reason] = true
		if record.Kind != "request" || record.Annotations["dump"] != "on demand" || len(record.Attachments) != 0 {
			t.Errorf("%+v", record)
		}
		if thread := fmt.Sprintf("thread %d\n", dump.thread); !strings.HasPrefix(host.stdout, thread) {
			t.Errorf("the dump shows thread %d, the program printed %q", dump.thread, host.stdout)
		}
		if line := fmt.Sprintf("dump %s %q\n", path, record.Reason); !strings.Contains(host.stdout, line) {
			t.Errorf("the program printed %q, without %q", host.stdout, line)
		}
	}
	if want := map[string]bool{"be\x00cause": true, "": true}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
}

func TestHangIsDumped(t *testing.T) {
	dir := newDumpDir(t)
	host := start(t, dir, exe.program(t, "host"), dir, "armed", "hang")
	host.waitUntilReady(t)
	waitFor(t, "the dump of a hang", func() bool { return len(glob(t, dir, "*.json")) == 1 })
	checkEnding(t, host.wait(t), crash{ending: "exit status 0", stderr: "^$"})
	dumps := glob(t, dir, "*.dmp")
	if len(dumps) != 1 {
		t.Fatalf("found %v, want one dump", dumps)
	}
	if record := readRecord(t, dumps[0]); record.Kind != "hang" {
		t.Errorf("%+v", record)
	}
}

func TestCheckArmed(t *testing.T) {
	dir := newDumpDir(t)
	uninstallAtEnd(t)
	if err := crashmonitor.CheckArmed(); !errors.Is(err, crashmonitor.ErrNotInstalled) {
		t.Errorf("before Install: %v", err)
	}
	if err := crashmonitor.Install(dir, ""); err != nil {
		t.Fatal(err)
	}
	if err := crashmonitor.CheckArmed(); err != nil {
		t.Errorf("after Install: %v", err)
	}
	if err := crashmonitor.Uninstall(); err != nil {
		t.Fatal(err)
	}
	if err := crashmonitor.CheckArmed(); !errors.Is(err, crashmonitor.ErrNotInstalled) {
		t.Errorf("after Uninstall: %v", err)
	}

	host := run(t, dir, exe.program(t, "host"), dir, "armed", "not armed any more")
	checkEnding(t, host, crash{ending: "exit status 0", stderr: "^$"})
}

// dumpNow has a dump of this process fail, and returns with what.
func dumpNow(reason string) error {
	path, err := crashmonitor.DumpNow(reason)
	if path != "" {
		return fmt.Errorf("%v, and the path %q", err, path)
	}
	return err
}

func TestExtrasThatAreRefused(t *testing.T) {
	uninstallAtEnd(t)
	memory := []byte("memory")
	for name, test := range map[string]struct {
		err     error
		status  crashmonitor.Status
		message string // A part of it.
	}{
		"empty key":          {crashmonitor.SetAnnotation("", "value"), crashmonitor.ErrInvalidArgument, "key is empty"},
		"no UTF-8":           {crashmonitor.SetAnnotation("key", "\xff"), crashmonitor.ErrInvalidArgument, "UTF-8"},
		"long value":         {crashmonitor.SetAnnotation("key", strings.Repeat("x", 20481)), crashmonitor.ErrLimit, "20480"},
		"empty removed key":  {crashmonitor.RemoveAnnotation(""), crashmonitor.ErrInvalidArgument, "key is empty"},
		"NUL in a path":      {crashmonitor.AttachFile("\x00"), crashmonitor.ErrInvalidArgument, "path"},
		"no memory":          {crashmonitor.AddMemory(nil), crashmonitor.ErrInvalidArgument, "at least 1 byte"},
		"much memory":        {crashmonitor.AddMemory(make([]byte, 1<<20+1)), crashmonitor.ErrLimit, "1048576"},
		"memory never added": {crashmonitor.RemoveMemory(memory), crashmonitor.ErrInvalidArgument, "no memory was added"},
		"dump, uninstalled":  {dumpNow(""), crashmonitor.ErrNotInstalled, "not installed"},
		"reason, no UTF-8":   {dumpNow("\xff"), crashmonitor.ErrInvalidArgument, "reason"},
		"long reason":        {dumpNow(strings.Repeat("x", 1025)), crashmonitor.ErrLimit, "1024"},
		"no heartbeat":       {crashmonitor.Heartbeat(), crashmonitor.ErrInvalidArgument, "no heartbeat is promised"},
		"heartbeat":          {crashmonitor.StartHeartbeat(time.Second), crashmonitor.ErrNotInstalled, "not installed"},
		"fast heartbeat":     {crashmonitor.StartHeartbeat(time.Nanosecond), crashmonitor.ErrInvalidArgument, "1ms is too fast"},
		"negative heartbeat": {crashmonitor.StartHeartbeat(-1), crashmonitor.ErrInvalidArgument, "-1ns"},
		"slow heartbeat":     {crashmonitor.StartHeartbeat(math.MaxInt64), crashmonitor.ErrInvalidArgument, "49 days"},
	} {
		if !errors.Is(test.err, test.status) || !strings.Contains(fmt.Sprint(test.err), test.message) {
			t.Errorf("%s gives %v, want %v with %q", name, test.err, test.status, test.message)
		}
	}
}
