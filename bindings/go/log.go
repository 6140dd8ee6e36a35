package crashmonitor

// #include <crash_monitor.h>
import "C"

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unsafe"
)

// Log adds a line to the process's log, a ring of its last lines (64 KiB, or [WithLogBytes]). Every later dump holds the
// lines as the annotation "log", and its record under "log", with time, level and thread; so does the record of a process
// that was killed. Before [Install] too.
//
// level: slog.LevelError and above, LevelWarn, LevelInfo, and LevelDebug for everything below. text: the line, without its
// end; what is over 1024 bytes is cut. The thread is the one that the goroutine runs on at this moment. A line for which no
// memory can be had is lost. It costs some 0.2 µs and the call into C.
func Log(level slog.Level, text string) {
	c, length := cBytes(text)
	C.cm_log(logLevel(level), c, length)
}

func logLevel(level slog.Level) C.uint32_t {
	switch {
	case level >= slog.LevelError:
		return C.CM_LOG_ERROR
	case level >= slog.LevelWarn:
		return C.CM_LOG_WARNING
	case level >= slog.LevelInfo:
		return C.CM_LOG_INFO
	}
	return C.CM_LOG_DEBUG
}

// NewLogHandler returns a handler that puts records into the process's log as [Log] does, and gives them to the next
// handler too, which may be nil:
//
//	next := slog.NewTextHandler(os.Stderr, nil)
//	slog.SetDefault(slog.New(crashmonitor.NewLogHandler(slog.LevelDebug, next)))
//
// next must not be slog.Default().Handler(): that writes to package log, whose output slog.SetDefault turns back to us.
//
// level: the lowest level that gets into the process's log; nil means slog.LevelInfo. The next handler gets what it is
// enabled for, whatever that level is.
//
// A record is one line: the message, then its attributes as group.key=value. What would make it ambiguous is quoted as Go
// quotes strings. Time and level are the log's own.
func NewLogHandler(level slog.Leveler, next slog.Handler) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	return &logHandler{level: level, next: next}
}

type logHandler struct {
	level slog.Leveler
	next  slog.Handler // May be nil.
	attrs string       // Those of WithAttrs, as they are shown.
	group string       // Those of WithGroup, with a period after each.
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level.Level() || h.next != nil && h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= h.level.Level() {
		h.log(record)
	}
	if h.next != nil && h.next.Enabled(ctx, record.Level) {
		return h.next.Handle(ctx, record)
	}
	return nil
}

// lines are buffers for lines, of the length that the log takes.
var lines = sync.Pool{New: func() any { return new([1024]byte) }}

func (h *logHandler) log(record slog.Record) {
	buffer := lines.Get().(*[1024]byte)
	defer lines.Put(buffer)
	line := appendText(buffer[:0], record.Message, isUnprintable)
	line = append(line, h.attrs...)
	record.Attrs(func(attr slog.Attr) bool {
		line = appendAttr(line, h.group, attr)
		return true
	})
	if len(line) != 0 {
		C.cm_log(logLevel(record.Level), (*C.char)(unsafe.Pointer(unsafe.SliceData(line))), C.size_t(len(line)))
	} else {
		Log(record.Level, "")
	}
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	var shown []byte
	for _, attr := range attrs {
		shown = appendAttr(shown, h.group, attr)
	}
	with.attrs += string(shown)
	if h.next != nil {
		with.next = h.next.WithAttrs(attrs)
	}
	return &with
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	if h.next != nil {
		with.next = h.next.WithGroup(name)
	}
	return &with
}

// appendAttr appends " group.key=value", for a group all that is in it, and nothing for an empty attribute: as
// slog.Handler asks for.
func appendAttr(line []byte, group string, attr slog.Attr) []byte {
	value := attr.Value.Resolve()
	if attr.Key == "" && value.Equal(slog.Value{}) {
		return line
	}
	if value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			group += attr.Key + "."
		}
		for _, inner := range value.Group() {
			line = appendAttr(line, group, inner)
		}
		return line
	}
	line = append(line, ' ')
	line = appendText(line, group+attr.Key, isAmbiguous)
	line = append(line, '=')
	return appendText(line, value.String(), isAmbiguous)
}

// appendText appends a text, quoted where one of its characters asks for it.
func appendText(line []byte, text string, quoted func(rune) bool) []byte {
	if strings.ContainsFunc(text, quoted) {
		return strconv.AppendQuote(line, text)
	}
	return append(line, text...)
}

func isUnprintable(char rune) bool {
	return !unicode.IsPrint(char) || char == unicode.ReplacementChar
}

func isAmbiguous(char rune) bool {
	return char == ' ' || char == '"' || char == '=' || isUnprintable(char)
}
