package crashmonitor

// #include <crash_monitor.h>
import "C"

// An Error says what a function of the library could not do. errors.Is compares it with the Err constants.
type Error struct {
	Status  Status
	Message string // What failed, where, and what would be right.
}

func (e *Error) Error() string {
	return "crashmonitor: " + e.Message
}

// Unwrap returns the status.
func (e *Error) Unwrap() error {
	return e.Status
}

// A Status is a code of the C library.
type Status int32

// What the functions of this package fail with.
const (
	// ErrInvalidArgument: an argument has a value that is not allowed.
	ErrInvalidArgument Status = C.CM_ERR_INVALID_ARGUMENT
	// ErrAlreadyInstalled: this process has called Install before, with other arguments.
	ErrAlreadyInstalled Status = C.CM_ERR_ALREADY_INSTALLED
	// ErrNotInstalled: nothing is installed in this process.
	ErrNotInstalled Status = C.CM_ERR_NOT_INSTALLED
	// ErrDumpDir: the dump directory cannot be made, is not a directory, or cannot be written to.
	ErrDumpDir Status = C.CM_ERR_DUMP_DIR
	// ErrSocket: the socket path is too long, something other than a socket lies there, or it is another user's.
	ErrSocket Status = C.CM_ERR_SOCKET
	// ErrNoMonitor: no monitor runs at the socket path, and no executable to start one was found.
	ErrNoMonitor Status = C.CM_ERR_NO_MONITOR
	// ErrMonitorStart: a monitor was started but did not become ready.
	ErrMonitorStart Status = C.CM_ERR_MONITOR_START
	// ErrMonitorVersion: the monitor at the socket path speaks another version of the protocol.
	ErrMonitorVersion Status = C.CM_ERR_MONITOR_VERSION
	// ErrTimeout: the monitor did not answer within the deadline.
	ErrTimeout Status = C.CM_ERR_TIMEOUT
	// ErrHandler: the signal handlers cannot be attached.
	ErrHandler Status = C.CM_ERR_HANDLER
	// ErrSystem: a system call failed for another reason.
	ErrSystem Status = C.CM_ERR_SYSTEM
	// ErrCommandLine: the command line of a process started as a monitor is not a valid one.
	ErrCommandLine Status = C.CM_ERR_COMMAND_LINE
	// ErrInternal: a defect in the library was caught.
	ErrInternal Status = C.CM_ERR_INTERNAL
	// ErrLimit: a limit of the library is reached; the message says which.
	ErrLimit Status = C.CM_ERR_LIMIT
	// ErrDump: the monitor could not write the dump that was asked for.
	ErrDump Status = C.CM_ERR_DUMP
	// ErrUnsupported: the call or a setting is not supported on this system, or by a monitor that is minidumper's server.
	ErrUnsupported Status = C.CM_ERR_UNSUPPORTED
)

// Error returns the C name of the status and its meaning.
func (s Status) Error() string {
	return C.GoString(C.cm_status_text(C.cm_status(s)))
}

// check turns what a C function returned into an error. The goroutine has to be locked to its thread since that call:
// the library keeps the last message by thread.
func check(status C.cm_status) error {
	if status == C.CM_OK {
		return nil
	}
	return lastError(Status(status))
}

func lastError(status Status) error {
	return &Error{status, C.GoString(C.cm_last_error())}
}
