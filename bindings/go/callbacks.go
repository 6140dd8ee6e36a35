package crashmonitor

/*
#include <crash_monitor.h>
#include <fcntl.h>
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

// A message is a byte, which says of what kind it is, and one or two strings with the NUL that ends them. The lock
// keeps those apart that are longer than a pipe takes at once.
static void tell(char kind, const char *first, const char *second)
{
	int fd = open(pipe_path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	flock(fd, LOCK_EX);
	write_all(fd, &kind, 1);
	write_all(fd, first, strlen(first) + 1);
	if (second)
		write_all(fd, second, strlen(second) + 1);
	close(fd);
}

static void tell_dump(const char *dump, const char *record, void *unused)
{
	(void)unused;
	tell(0, dump ? dump : "", record ? record : "");
}

static void tell_line(uint32_t level, const char *line, void *unused)
{
	(void)unused;
	tell((char)level, line, NULL);
}

static cm_status set_callbacks(void)
{
	cm_status status = cm_set_dump_callback(tell_dump, NULL);

	return status == CM_OK ? cm_set_log_callback(tell_line, NULL) : status;
}
*/
import "C"

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"sync"
)

// A MonitorOption is a setting of [RunMonitor].
type MonitorOption func(*callbacks)

// callbacks are the program's functions. The library calls C functions, most of them in forks of the monitor: there
// Go's other threads are missing, and a Go function would not come to its end. They write to a pipe.
type callbacks struct {
	dump func(dumpPath, recordPath string)
	line func(level slog.Level, message string)
}

// WithDumpCallback sets a function that the monitor calls after each report: with the paths of the dump, "" where there
// is none (a death, or a dump that failed), and of the record, "" where that failed.
//
// Each call has a goroutine of its own, may take its time and may upload the files or move them away. RunMonitor
// returns when all calls have. A panic in one ends the monitor.
func WithDumpCallback(f func(dumpPath, recordPath string)) MonitorOption {
	return func(callbacks *callbacks) { callbacks.dump = f }
}

// WithLogCallback sets a function that the monitor calls for each line of its log, besides [WithMonitorLog]'s file. The
// level is that of an error, a warning or information; the message is without a line's end.
//
// The function is called for one line after the other, and is not to take long: the monitor waits for it, and with the
// monitor crashing programs do, once 64 KiB of lines are waiting.
func WithLogCallback(f func(level slog.Level, message string)) MonitorOption {
	return func(callbacks *callbacks) { callbacks.line = f }
}

// setCallbacks sets the C functions, which can be done once in a process.
var setCallbacks = sync.OnceValue(func() error { return check(C.set_callbacks()) })

// serve has the program's functions called until stop is called, which waits for the last of them.
func (c *callbacks) serve() (stop func(), err error) {
	if c.dump == nil && c.line == nil {
		return func() {}, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return func() {}, &Error{ErrSystem, fmt.Sprintf("cannot make a pipe for the callbacks: %v", err)}
	}
	path, err := cString("pipe", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), writer.Fd()))
	if err == nil {
		C.set_pipe(path)
		err = setCallbacks()
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

// levels are those of the C library's.
var levels = map[byte]slog.Level{1: slog.LevelError, 2: slog.LevelWarn, 3: slog.LevelInfo}

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
		dumpPath, recordPath := readString(pipe), readString(pipe)
		if c.dump == nil {
			continue
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			c.dump(dumpPath, recordPath)
		}()
	}
}

// readString reads a string of C's. A pipe that ends within it belongs to a process that was killed.
func readString(pipe *bufio.Reader) string {
	text, _ := pipe.ReadString(0)
	return text[:max(0, len(text)-1)]
}
