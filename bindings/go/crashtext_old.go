//go:build !go1.23

package crashmonitor

// Go before 1.23 writes its crash text to standard error alone.

func startCrashText() {}

func stopCrashText() {}
