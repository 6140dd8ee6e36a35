//go:build go1.23

package crashmonitor

/*
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

static int crash_text(void)
{
	const char *name = "go-crash.txt";
	int no_exec = 8; // MFD_NOEXEC_SEAL: some systems insist on it, Linux before 6.3 does not know it.
	int fd = memfd_create(name, MFD_CLOEXEC | no_exec);

	return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC) : fd;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// crashText is the file that Go writes its crash text to, besides standard error, and that is attached to dumps. It has
// no name on any disk. Once made it is never closed: what is attached is the number of its descriptor. Guarded by
// installing, as is crashTextOn.
var (
	crashText   *os.File
	crashTextOn bool
)

// startCrashText has Go's crash text attached to dumps. A text that cannot be had is no reason to have no dumps.
func startCrashText() {
	if crashTextOn {
		return // The program may have set another crash output since.
	}
	if crashText == nil {
		fd := C.crash_text()
		if fd < 0 {
			return
		}
		crashText = os.NewFile(uintptr(fd), "go-crash.txt")
	}
	// Not of this process alone: the monitor opens it.
	err := AttachFile(fmt.Sprintf("/proc/self/fd/%d", crashText.Fd()))
	if errors.Is(err, ErrLimit) {
		return
	}
	crashTextOn = debug.SetCrashOutput(crashText, debug.CrashOptions{}) == nil
}

// stopCrashText takes back what startCrashText has set, unless the program has set another crash output since.
func stopCrashText() {
	if crashTextOn && isCrashOutput(crashText) {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{}) // It cannot fail.
	}
	crashTextOn = false
}

// isCrashOutput says whether the runtime still has the file: SetCrashOutput duplicates a file's descriptor, and closes
// the duplicate when it is given another one.
func isCrashOutput(file *os.File) bool {
	target := func(fd string) string {
		target, _ := os.Readlink("/proc/self/fd/" + fd)
		return target
	}
	open, err := os.ReadDir("/proc/self/fd")
	own := fmt.Sprint(file.Fd())
	for _, entry := range open {
		if entry.Name() != own && target(entry.Name()) == target(own) {
			return true
		}
	}
	return err != nil // Where /proc cannot be read: Uninstall takes back.
}
