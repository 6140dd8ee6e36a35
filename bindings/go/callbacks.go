package crashmonitor

/*
#include <crash_monitor.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// The write end of the pipe to the goroutine, as a path: a process that writes a dump, a fork of the monitor, has no
// copy of it.
static char pipe_path[64];

static void set_pipe(const char *path) { strncpy(pipe_path, path, sizeof pipe_path - 1); }

static void write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, text, length);

		if (written < 0)
			return;
		text += written;
		length -= written;
	}
}

// A message is a byte, which says of what kind it is, and strings with the NUL that ends each. The lock keeps those
// apart that are longer than a pipe takes at once.
static int begin(char kind)
{
	int fd = open(pipe_path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		flock(fd, LOCK_EX);
		write_all(fd, &kind, 1);
	}
	return fd;
}

// NULL becomes the empty string.
static void add(int fd, const char *text) { write_all(fd, text ? text : "", text ? strlen(text) + 1 : 1); }

static void add_number(int fd, int64_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)number);
	add(fd, text);
}

// The lists come last, each with the empty string after it.
static void tell_report(const cm_report *report, void *unused)
{
	int fd = begin(0);
	const char *text;
	size_t i;

	(void)unused;
	if (fd < 0)
		return;
	add_number(fd, cm_report_kind(report));
	add(fd, cm_report_dump_path(report));
	add(fd, cm_report_record_path(report));
	add(fd, cm_report_app_name(report));
	add_number(fd, cm_report_pid(report));
	add_number(fd, cm_report_thread_id(report));
	add_number(fd, cm_report_signal(report));
	add_number(fd, cm_report_exit_status(report));
	add(fd, cm_report_reason(report));
	for (i = 0; (text = cm_report_attachment_path(report, i)); i++)
		add(fd, text);
	add(fd, NULL);
	for (i = 0; (text = cm_report_annotation_key(report, i)); i++) {
		add(fd, text);
		add(fd, cm_report_annotation(report, text));
	}
	add(fd, NULL);
	close(fd);
}

static void tell_line(uint32_t level, const char *line, void *unused)
{
	int fd = begin((char)level);

	(void)unused;
	if (fd < 0)
		return;
	add(fd, line);
	close(fd);
}

static cm_status set_callbacks(int report, int line)
{
	cm_status status = cm_set_report_callback(report ? tell_report : NULL, NULL);

	return status == CM_OK ? cm_set_log_callback(line ? tell_line : NULL, NULL) : status;
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// A MonitorOption is a setting of [RunMonitor].
type MonitorOption func(*callbacks)

// A ReportKind says why there is a report.
type ReportKind int32

const (
	ReportCrash   ReportKind = C.CM_REPORT_CRASH   // A fatal signal.
	ReportRequest ReportKind = C.CM_REPORT_REQUEST // The program asked for it: [DumpNow], [CapturePanic].
	ReportHang    ReportKind = C.CM_REPORT_HANG    // The program broke the promise of [StartHeartbeat].
	ReportDeath   ReportKind = C.CM_REPORT_DEATH   // The process ended without a goodbye: there is no dump.
)

// String returns the kind as records have it.
func (k ReportKind) String() string {
	switch k {
	case ReportCrash:
		return "crash"
	case ReportRequest:
		return "request"
	case ReportHang:
		return "hang"
	case ReportDeath:
		return "death"
	}
	return fmt.Sprintf("ReportKind(%d)", int32(k))
}

// A Report is what the monitor tells of a dump, or of a process that ended without one.
type Report struct {
	Kind        ReportKind
	DumpPath    string   // "" for a death, and where the dump could not be written.
	RecordPath  string   // "" where it could not be written.
	Attachments []string // The paths of the copies of attached files.
	AppName     string
	PID         int
	ThreadID    int            // The thread that crashed or asked for the dump; 0 where there is none.
	Signal      syscall.Signal // Of a crash, or what ended the process; 0 where there was none.
	ExitStatus  int            // Of a process that has exited; -1 for all others.
	Reason      string         // What [DumpNow] was given.
	Annotations map[string]string
}

// callbacks are the program's functions. The library calls C functions, most of them in forks of the monitor: there
// Go's other threads are missing, and a Go function would not come to its end. They write to a pipe.
type callbacks struct {
	report func(Report)
	line   func(level slog.Level, message string)
}

// WithReportCallback sets a function that the monitor calls after each dump, and after the record of a process that
// ended without one.
//
// Each call has a goroutine of its own, may take its time and may upload the files or move them away. RunMonitor
// returns when all calls have. A panic in one ends the monitor.
func WithReportCallback(f func(Report)) MonitorOption {
	return func(callbacks *callbacks) { callbacks.report = f }
}

// WithLogCallback sets a function that the monitor calls for each line of its log, besides [WithMonitorLog]'s file. The
// level is that of an error, a warning, information or details; the message is without a line's end.
//
// The function is called for one line after the other, and is not to take long: the monitor waits for it, and with the
// monitor crashing programs do, once 64 KiB of lines are waiting.
func WithLogCallback(f func(level slog.Level, message string)) MonitorOption {
	return func(callbacks *callbacks) { callbacks.line = f }
}

// serve has the program's functions called until stop is called, which waits for the last of them.
func (c *callbacks) serve() (stop func(), err error) {
	if c.report == nil && c.line == nil {
		return func() {}, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return func() {}, &Error{ErrSystem, fmt.Sprintf("cannot make a pipe for the callbacks: %v", err)}
	}
	path, err := cString("pipe", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), writer.Fd()))
	if err == nil {
		C.set_pipe(path)
		err = check(C.set_callbacks(cBool(c.report != nil), cBool(c.line != nil)))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer reader.Close()
		c.read(bufio.NewReader(reader))
	}()
	return func() {
		writer.Close()
		<-done
	}, err
}

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// levels are those of the C library's.
var levels = map[byte]slog.Level{1: slog.LevelError, 2: slog.LevelWarn, 3: slog.LevelInfo, 4: slog.LevelDebug}

// read calls the program's functions for the messages in a pipe, and returns at its end when all calls have returned.
func (c *callbacks) read(pipe *bufio.Reader) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		kind, err := pipe.ReadByte()
		if err != nil {
			return
		}
		if kind != 0 {
			if line := readString(pipe); c.line != nil {
				c.line(levels[kind], line)
			}
			continue
		}
		report, whole := readReport(pipe)
		if c.report == nil || !whole {
			continue
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			c.report(report)
		}()
	}
}

// readReport reads what tell_report has written. What ends within it is not whole: its process was killed.
func readReport(pipe *bufio.Reader) (report Report, whole bool) {
	number := func() int {
		number, _ := strconv.Atoi(readString(pipe))
		return number
	}
	report.Kind = ReportKind(number())
	report.DumpPath, report.RecordPath, report.AppName = readString(pipe), readString(pipe), readString(pipe)
	report.PID, report.ThreadID = number(), number()
	report.Signal, report.ExitStatus = syscall.Signal(number()), number()
	report.Reason = readString(pipe)
	for path := readString(pipe); path != ""; path = readString(pipe) {
		report.Attachments = append(report.Attachments, path)
	}
	report.Annotations = map[string]string{}
	for {
		key, err := pipe.ReadString(0)
		if err != nil || key == "\x00" {
			return report, err == nil
		}
		report.Annotations[key[:len(key)-1]] = readString(pipe)
	}
}

// readString reads a string of C's. A pipe that ends within it belongs to a process that was killed.
func readString(pipe *bufio.Reader) string {
	text, _ := pipe.ReadString(0)
	return text[:max(0, len(text)-1)]
}
