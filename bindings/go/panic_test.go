package crashmonitor_test

import (
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCapturedPanic(t *testing.T) {
	for _, state := range []string{"armed", "never"} {
		t.Run(state, func(t *testing.T) {
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, state, "captured panic")
			checkEnding(t, host, crash{ending: "exit status 2", stderr: `^panic: nobody recovers this \[recovered`})
			if state == "never" {
				checkNoDump(t, dir)
				return
			}
			dumps := glob(t, dir, "*.dmp")
			if len(dumps) != 1 {
				t.Fatalf("found %v, want one dump", dumps)
			}
			checkPanic(t, dumps[0], "nobody recovers this", "string", "main.panicHere(")
		})
	}
}

// checkPanic checks what a dump says of a panic.
func checkPanic(t *testing.T, path, value, kind, inStack string) {
	t.Helper()
	record, annotations := readRecord(t, path), readMinidump(t, path).annotations
	if record.Kind != "request" || record.Reason != "panic: "+value {
		t.Errorf("%s of %q, want a panic of %q", record.Kind, record.Reason, value)
	}
	if annotations["panic.value"] != value || annotations["panic.type"] != kind {
		t.Errorf("%q of type %q, want %q, %q", annotations["panic.value"], annotations["panic.type"], value, kind)
	}
	if stack := annotations["panic.stack"]; !strings.HasPrefix(stack, "goroutine ") || !strings.Contains(stack, inStack) {
		t.Errorf("the stack is without %q:\n%s", inStack, stack)
	}
}

// CapturePanic changes nothing, whatever the panic; the host checks that. Here is what its dumps say.
func TestCapturedPanicsGoOn(t *testing.T) {
	for _, test := range []struct{ godebug, nilPanic, nilType string }{
		{"panicnil=0", new(runtime.PanicNilError).Error(), "*runtime.PanicNilError"},
		{"panicnil=1", "<nil>", "<nil>"},
	} {
		t.Run(test.godebug, func(t *testing.T) {
			t.Setenv("GODEBUG", test.godebug)
			dir := newDumpDir(t)
			host := run(t, dir, exe.program(t, "host"), dir, "armed", "captured")
			checkEnding(t, host, crash{ending: "exit status 0", stderr: "^$"})

			const long = "panic: not \uFFFD UTF-8, \x00 and long: üü"
			const shy = "panic: %!v(PANIC=Error method: not printed)"
			missing := map[string]bool{
				"panic: a string": true, "panic: an error": true, "panic: " + test.nilPanic: true, shy: true,
				"panic: runtime error: invalid memory address or nil pointer dereference": true,
				long: true, "afterwards": true,
			}
			for _, path := range glob(t, dir, "*.dmp") {
				record := readRecord(t, path)
				name := record.Reason
				if strings.HasPrefix(name, long) {
					name = long
				}
				if !missing[name] {
					t.Errorf("a dump too many, of %q", name)
				}
				delete(missing, name)
				switch name {
				case "afterwards":
					if len(record.Annotations) != 0 {
						t.Errorf("a later dump has the annotations %v", record.Annotations)
					}
				case long:
					value := record.Annotations["panic.value"]
					if n := len(value); n < 20_477 || !strings.HasSuffix(value, "ü") || !utf8.ValidString(value) {
						t.Errorf("of a long value %d bytes are left, ending with %q", n, value[max(0, n-9):])
					}
				case "panic: " + test.nilPanic:
					checkPanic(t, path, test.nilPanic, test.nilType, "main.capturePanics")
				case "panic: an error":
					checkPanic(t, path, "an error", "*errors.errorString", "main.capturePanics")
				}
			}
			if len(missing) != 0 {
				t.Errorf("no dumps of %v", missing)
			}
		})
	}
}
