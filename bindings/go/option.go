package crashmonitor

// #include <crash_monitor.h>
import "C"

import (
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"
)

// An Option is a setting of [Install]. The C library's strategy is none: the other one has Go's handler look at a fault
// in C code first, and Go ends the process there, without a dump.
type Option func(*config) error

type config struct {
	c           *C.cm_config
	panicDumps  bool
	noCrashText bool
}

// WithAppName sets the first part of dump file names (<app>-<unix time>-<pid>.dmp): 1 to 64 ASCII letters, digits,
// '.', '_', '+' or '-', not starting with '.'. Default: the executable's file name.
func WithAppName(name string) Option {
	return func(config *config) error {
		c, err := cString("app name", name)
		if err != nil {
			return err
		}
		return check(C.cm_config_set_app_name(config.c, c))
	}
}

// WithMonitorPath sets the executable that is started where no monitor runs. Default: the environment variable
// CRASH_MONITOR_PATH (ignored in a setuid process); else this program, where it has called [RunMonitor] before; else
// the executable crash-monitor beside the shared library, in ../bin from there, or beside this program.
func WithMonitorPath(path string) Option {
	return func(config *config) error {
		c, err := cString("monitor path", path)
		if err != nil {
			return err
		}
		return check(C.cm_config_set_monitor_path(config.c, c))
	}
}

// WithMonitorLog sets a file that a monitor started by this process appends its log to, mode 0600. Default: no log. A
// monitor that runs already keeps its own.
func WithMonitorLog(path string) Option {
	return func(config *config) error {
		c, err := cString("monitor log", path)
		if err != nil {
			return err
		}
		return check(C.cm_config_set_monitor_log(config.c, c))
	}
}

// WithDeadline sets how long the crashing process waits for its dump, all steps together, before it ends without one;
// also how long [Install] waits for a monitor to become ready. 100 ms to 600 s, in whole milliseconds; default 10 s.
func WithDeadline(deadline time.Duration) Option {
	return func(config *config) error {
		// What does not fit into C's type becomes its nearest value, which the library refuses.
		milliseconds := min(max(deadline.Milliseconds(), 0), math.MaxUint32)
		return check(C.cm_config_set_deadline_ms(config.c, C.uint32_t(milliseconds)))
	}
}

// WithRetention sets how many dumps the dump directory keeps: after each new one the monitor removes the oldest until
// both limits hold; the newest always stays. Each at least 1; default 100 files and 1 GiB.
func WithRetention(files uint32, bytes uint64) Option {
	return func(config *config) error {
		return check(C.cm_config_set_retention(config.c, C.uint32_t(files), C.uint64_t(bytes)))
	}
}

// WithLogBytes sets how much of the process's log ([Log], [NewLogHandler]) is kept: up to 1048576 bytes; default 65536; 0
// for no log. A line takes 128 bytes for each 104 bytes of its text. Lines logged before Install are lost where this
// changes it.
func WithLogBytes(bytes uint32) Option {
	return func(config *config) error {
		return check(C.cm_config_set_log_bytes(config.c, C.uint32_t(bytes)))
	}
}

// WithEnvironment has dumps hold the process's environment, which often holds secrets. Default: they do not.
func WithEnvironment() Option {
	return func(config *config) error {
		return check(C.cm_config_set_environment(config.c, 1))
	}
}

// WithSanitizedStacks has stacks sanitized before they go into a dump: every word that is neither a small number nor
// points into code or into the same stack is overwritten. Stack traces survive it, the values of variables do not.
// Registers and what [AddMemory] was given are left as they are. Default: not sanitized.
func WithSanitizedStacks() Option {
	return func(config *config) error {
		return check(C.cm_config_set_sanitize_stacks(config.c, 1))
	}
}

// WithCrashCallback sets a C function, a cm_crash_callback of crash_monitor.h, that the crashing thread calls before
// the crash is reported: where it returns 0 the crash is reported, else it is not. The process ends either way.
//
// It runs in a signal handler, so it can neither be a Go function nor call one: not one that is exported to C either.
// It may do what signal-safety(7) allows. callback is the address of the C function, as in
// unsafe.Pointer(C.on_crash); userData, which may be nil, is C memory that lives as long as the process does.
func WithCrashCallback(callback, userData unsafe.Pointer) Option {
	return func(config *config) error {
		return check(C.cm_config_set_crash_callback(config.c, C.cm_crash_callback(callback), userData))
	}
}

// WithPanicDumps makes a panic that nobody recovers leave a dump, and also a fatal error of Go's: concurrent map
// writes, a fault at an address that is not nil's, an overflow of Go's stack. Default: such an end leaves a record, a
// .json file in the dump directory.
//
// Once Install has armed the process it calls debug.SetTraceback("crash"): Go's traceback shows all goroutines, and the
// program ends with SIGABRT where it would exit with status 2, also after a crash in C code. Uninstall leaves it so: Go
// does not tell what the level was before.
func WithPanicDumps() Option {
	return func(config *config) error {
		config.panicDumps = true
		return nil
	}
}

// WithoutCrashText leaves Go's crash output as the program has it. Default: Go's crash text, with the traceback of the
// goroutine or of all of them, is not on standard error alone but also in a file beside the dump, as
// <dump's name>.go-crash.txt. It gets there once the program has ended: of a crash in C code Go prints after the dump.
//
// For that Install calls debug.SetCrashOutput, of which there is one in a process: it replaces what the program has set
// before, and a later call of the program's replaces it. [Uninstall] takes it back, unless the program has set another.
// The text counts as one of 16 attached files ([AttachFile]). Where it cannot be had, for their number or because there
// is no memfd_create(2), Install does without. With Go before 1.23, which has no SetCrashOutput, there is none.
func WithoutCrashText() Option {
	return func(config *config) error {
		config.noCrashText = true
		return nil
	}
}

func newConfig(dumpDir, socketPath string) (*config, error) {
	dir, err := cString("dump directory", dumpDir)
	if err != nil {
		return nil, err
	}
	var socket *C.char
	if socketPath != "" {
		if socket, err = cString("socket path", socketPath); err != nil {
			return nil, err
		}
	}
	var c *C.cm_config
	if err := check(C.cm_config_new(dir, socket, &c)); err != nil {
		return nil, err
	}
	return &config{c: c}, nil
}

// noBytes is where an empty text lies: NULL, which Go may have for it, is none.
var noBytes byte

// cBytes returns the bytes of s and their number, for functions that take both: s may hold NUL bytes.
func cBytes(s string) (*C.char, C.size_t) {
	if s == "" {
		return (*C.char)(unsafe.Pointer(&noBytes)), 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
}

// cString returns s as C wants it, in Go's memory: the library copies what it keeps.
func cString(what, s string) (*C.char, error) {
	bytes, err := syscall.BytePtrFromString(s)
	if err != nil {
		return nil, &Error{ErrInvalidArgument, fmt.Sprintf("%s %q holds a NUL byte, which ends a C string", what, s)}
	}
	return (*C.char)(unsafe.Pointer(bytes)), nil
}
