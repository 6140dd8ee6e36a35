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
// # What is a crash
//
// SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT or SIGTRAP, in any thread. A Go panic is none, unless GOTRACEBACK=crash
// (or debug.SetTraceback) has it end with SIGABRT: then a panic that nobody recovers leaves a dump too. Without it such
// a panic leaves a record of the process's death, a .json file in the dump directory.
//
// A fault in Go code, such as a nil dereference, is Go's own business: it becomes a panic, which leaves no dump, be it
// recovered or not.
//
// An overflow of C's stack is reported in Go's own threads; a thread that C code makes has to call cm_thread_init
// first.
//
// # Concurrency
//
// Any goroutine may call any function at any time, except that [RunMonitor] belongs at the beginning of main.
package crashmonitor
