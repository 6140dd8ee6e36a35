package crashmonitor

// #cgo LDFLAGS: -lcrash_monitor
// #include <crash_monitor.h>
import "C"

import (
	"runtime"
	"runtime/debug"
	"sync"
	"unsafe"

	"crashmonitor/internal/runtimetext"
)

// installing lets one call at a time install or uninstall.
var installing sync.Mutex

// Install arms this process: from now on a crash makes the monitor write a minidump to dumpDir.
//
// dumpDir is made, with missing parents, all with mode 0700. socketPath is where the monitor
// listens, at most 107 bytes; "" means monitor.sock in dumpDir. Both are made absolute at once.
//
// A monitor that listens at socketPath is used; where none does, one is started, and Install waits until it is ready.
// The monitor ends by itself after its last host.
//
// With Go 1.23 or later Go's crash text, what it prints to standard error when the program crashes, is also in a file
// beside the dump; see [WithoutCrashText].
//
// A second call with the same arguments changes nothing and returns nil; with others it returns
// [ErrAlreadyInstalled]. Every error is an [*Error]; after one nothing new is installed and the program can go on.
func Install(dumpDir, socketPath string, options ...Option) error {
	runtime.LockOSThread() // The library keeps its last message by thread; see check.
	defer runtime.UnlockOSThread()
	config, err := newConfig(dumpDir, socketPath)
	if err != nil {
		return err
	}
	defer C.cm_config_free(config.c)
	for _, option := range options {
		if err := option(config); err != nil {
			return err
		}
	}
	if err := LeaveGoFaults(); err != nil {
		return err
	}
	installing.Lock()
	defer installing.Unlock()
	if err := check(C.cm_install_with(config.c)); err != nil {
		return err
	}
	if !config.noCrashText {
		startCrashText()
	}
	if config.panicDumps {
		debug.SetTraceback("crash")
	}
	return nil
}

// LeaveGoFaults leaves the faults of Go code to Go, which makes panics of them, and arms nothing. [Install] calls it.
//
// It is for a Go library (-buildmode=c-shared or c-archive) in a program that calls cm_install itself: there a nil
// dereference that the library recovers from would be a crash. The library calls it in an init function; whether the
// program calls cm_install before or after does not matter. Both have to be linked with the same shared C library.
func LeaveGoFaults() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin, end := runtimetext.Range()
	return check(C.cm_add_runtime_code(codeAddress(begin), codeAddress(end)))
}

// codeAddress is for addresses outside Go's heap: the conversion that go vet warns of is for those inside.
func codeAddress(address uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&address))
}

// RunMonitor serves as the monitor if this process was started as one, and says whether it was. A program that is to
// be its own monitor calls it first thing in main and returns from main where ran is true.
//
// Install starts such a program once more, with --crash-monitor on its command line, a clean environment and "/" as
// its directory. There RunMonitor returns after the monitor's last host has gone, or with an error. SIGTERM has it take
// no new hosts, and a second one has it return once the dumps in progress are written. In any other process it returns
// false at once. Package initialisation comes before main in the monitor too.
//
// The monitor can have functions of the program called: [WithReportCallback], [WithLogCallback]. Where they cannot be, it
// serves without, and RunMonitor returns that as its error. In any other process they change nothing.
func RunMonitor(options ...MonitorOption) (ran bool, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var callbacks callbacks
	for _, option := range options {
		option(&callbacks)
	}
	stop, failure := callbacks.serve()
	defer stop()
	status := C.cm_run_monitor()
	if status == C.CM_NOT_A_MONITOR {
		return false, nil
	}
	if err := check(status); err != nil {
		return true, err
	}
	return true, failure
}

// Uninstall disarms this process: the signal handlers that were there before Install are put back and the monitor is
// told goodbye. Install may be called again. Where nothing is installed it returns [ErrNotInstalled].
//
// A program calls it last when it ends in good order. Go runs none of C's exit handlers, which would say goodbye, and
// before Linux 6.15 the monitor cannot tell such an end from a sudden one: it leaves a record, a .json file, in the
// dump directory.
func Uninstall() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	installing.Lock()
	defer installing.Unlock()
	if err := check(C.cm_uninstall()); err != nil {
		return err
	}
	stopCrashText()
	return nil
}

// Version returns the version of the C library that is loaded, as "major.minor.patch".
func Version() string {
	return C.GoString(C.cm_version())
}
