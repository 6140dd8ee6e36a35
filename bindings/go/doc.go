// Package crashmonitor writes a minidump when C code in this program crashes. Another process, the monitor, reads the
// crashed one and writes the dump; then the program ends as it would have without this package: Go prints its
// traceback and exits with status 2.
//
// A program that is its own monitor:
//
//	package main
//
//	import (
//		"log"
//
//		"crashmonitor"
//	)
//
//	func main() {
//		if ran, err := crashmonitor.RunMonitor(); ran {
//			if err != nil {
//				log.Fatal(err)
//			}
//			return
//		}
//		if err := crashmonitor.Install("crashes", ""); err != nil {
//			log.Print(err) // The program goes on without dumps.
//		}
//		// The program's own work.
//		_ = crashmonitor.Uninstall() // Not deferred: an end by panic is not in good order.
//	}
//
// Without RunMonitor the monitor is the executable crash-monitor, which is found beside the shared library, in ../bin
// from there, or beside the program; see [WithMonitorPath].
//
// # Building
//
// The package uses cgo and links with -lcrash_monitor. Where the library is not in the system's own directories, say
// where it is, for example with pkg-config:
//
//	export CGO_CFLAGS="$(pkg-config --cflags crash_monitor)"
//	export CGO_LDFLAGS="$(pkg-config --libs crash_monitor)"
//	go build
//
// With the static library instead of the shared one:
//
//	export CGO_LDFLAGS="$(pkg-config --libs-only-L crash_monitor) -Wl,--as-needed -l:libcrash_monitor.a"
//
// # What is a crash
//
// SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT or SIGTRAP, in any thread.
//
// A fault in Go code, such as a nil dereference, is Go's own business: it becomes a panic or a fatal error, which leave
// no dump, unless [WithPanicDumps] asks for it and nobody recovers, or [CapturePanic] is deferred. The code of Go
// plugins (-buildmode=plugin) is taken for C code: a nil dereference there is a crash, also where the plugin recovers
// from it.
//
// A crash signal that is sent, as by kill -SEGV, is a crash too. os/signal gets it as ever; where the program goes on
// then, it is not armed any more until it calls [Install] again. No other signal is touched.
//
// An overflow of C's stack is reported in Go's own threads; a thread that C code makes has to call cm_thread_init
// first. That also unblocks the crash signals in it. In its own threads Go unblocks them itself, except for SIGABRT, which
// abort unblocks.
//
// An end that is no crash leaves a record, a .json file in the dump directory with the exit status or signal, as far as
// Linux tells the monitor. None comes after [Uninstall], nor, with Linux 6.15 or later, from exit status 0.
//
// # What a dump holds
//
// Of each thread the stack that it runs on: of one in C code C's, else that of its goroutine. Other goroutines are not
// in it; what Go prints of them when the program crashes is in a text file beside the dump, see [WithoutCrashText]. A
// program adds what else it wants, at any time, before Install too: [SetAnnotation], [AnnotateThread], [Log] and
// [NewLogHandler], [AttachFile], [AddMemory].
//
// A dump need not be of a crash: [DumpNow] dumps the living process, [CapturePanic] one that panics, where the panic
// is, and [StartHeartbeat] promises a sign of life, without which the process is dumped as hung.
//
// # In the monitor
//
// A program that is its own monitor can have functions of its own called there, to send a dump somewhere, say:
//
//	upload := func(report crashmonitor.Report) { /* ... */ }
//	if ran, err := crashmonitor.RunMonitor(crashmonitor.WithReportCallback(upload)); ran {
//
// # Go libraries
//
// A Go library in a program that calls cm_install itself calls [LeaveGoFaults] instead of Install. In a library Go ends
// the process with SIGABRT after a panic that nobody recovers, which leaves a dump without WithPanicDumps.
//
// # Concurrency
//
// Any goroutine may call any function at any time, except that [RunMonitor] belongs at the beginning of main.
package crashmonitor
