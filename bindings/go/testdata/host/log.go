package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"crashmonitor"
)

// secret shows what it is allowed to.
type secret string

func (secret) LogValue() slog.Value { return slog.StringValue("hidden") }

type failing struct{}

func (failing) String() string { panic("on purpose") }

// writeLog writes to the log by Log and by loggers.
func writeLog() {
	runtime.LockOSThread()
	printThread()
	crashmonitor.Log(slog.LevelError+1, "schön\x00")
	crashmonitor.Log(slog.LevelDebug-1, "")
	crashmonitor.Log(slog.LevelInfo, strings.Repeat("ü", 600))

	alone := slog.New(crashmonitor.NewLogHandler(nil, nil))
	alone.Debug("left out")
	alone.Info("")
	alone.Info("two words", "count", 7, "text", "two words", "none", nil)
	alone.Info("two\nlines", "a key", `a "quote"`, "bad", "\xff")
	alone.Info("values", "secret", secret("told"), "error", errors.New("no"), "failing", fmt.Sprint(failing{}) != "")
	alone.Warn("long", "text", strings.Repeat("x", 2000))
	alone.With("a", 1).WithGroup("g").With("b", 2).WithGroup("").Error("groups", "c", 3,
		slog.Group("h", "d", 4, slog.Group("empty")), slog.Group("", "e", 5), slog.Attr{})

	options := &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}
	tee := crashmonitor.NewLogHandler(slog.LevelDebug, slog.NewTextHandler(os.Stdout, options))
	both := slog.New(tee).With("a", 1).WithGroup("g")
	both.Debug("for the log alone", "b", 2)
	both.Warn("for both", "b", 2)

	only := slog.New(crashmonitor.NewLogHandler(slog.LevelError, slog.NewTextHandler(os.Stdout, options)))
	only.Warn("for the next alone")
	if only.Enabled(context.Background(), slog.LevelInfo) {
		log.Fatal("enabled for what nobody wants")
	}
}

func writeManyLines() {
	for i := 0; i < 5; i++ {
		crashmonitor.Log(slog.LevelInfo, strconv.Itoa(i))
	}
}

// annotateThread calls f with annotations of the thread: an inner one in place of an outer one.
func annotateThread(f func()) {
	runtime.LockOSThread()
	printThread()
	must(crashmonitor.AnnotateThread("request", "outer", func() {
		must(crashmonitor.AnnotateThread("user", "anna", func() {
			must(crashmonitor.AnnotateThread("request", "GET /schön", f))
		}))
	}))
}

// leaveAnnotations leaves the outermost of some annotations, whose inner ones ended in many ways.
func leaveAnnotations() {
	annotate := crashmonitor.AnnotateThread
	done := make(chan struct{})
	for _, f := range []func(){func() {}, func() { panic("recovered") }, runtime.Goexit} {
		go func(f func()) {
			defer func() { recover(); done <- struct{}{} }()
			must(annotate("request", "of another thread", f))
		}(f)
		<-done
	}
	runtime.LockOSThread()
	printThread()
	called := false
	mustFailWith(crashmonitor.ErrLimit, annotate("request", strings.Repeat("x", 513), func() { called = true }))
	mustFailWith(crashmonitor.ErrInvalidArgument, annotate("", "x", func() {}))
	if !called {
		log.Fatal("the function was not called")
	}
	must(annotate("request", "outer", func() {
		must(annotate("request", "inner", func() {}))
		func() {
			defer func() { recover() }()
			_ = annotate("request", "panics", func() { panic("recovered") })
		}()
		must(annotate("gone", "soon", func() {}))
		_, err := crashmonitor.DumpNow("outer")
		must(err)
	}))
}

func kill() {
	must(syscall.Kill(os.Getpid(), syscall.SIGKILL))
	select {}
}
