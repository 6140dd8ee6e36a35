package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"
)

// useSignals has the signals arrive that Go programs use and Go itself does.
func useSignals() {
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGTERM, syscall.SIGUSR1)
	for _, sent := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1} {
		send(sent)
		if got := <-received; got != sent {
			log.Fatalf("sent %v, received %v", sent, got)
		}
	}
	signal.Ignore(syscall.SIGTERM)
	send(syscall.SIGTERM)

	bePreempted()
	beProfiled()
}

// bePreempted returns once Go has interrupted a goroutine that never yields (SIGURG).
func bePreempted() {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	started := make(chan struct{})
	go func() {
		close(started)
		for {
		}
	}()
	<-started
}

// beProfiled looks for itself in a profile of itself (SIGPROF).
func beProfiled() {
	var compressed bytes.Buffer
	must(pprof.StartCPUProfile(&compressed))
	for start := processorTime(); processorTime()-start < 200*time.Millisecond; {
	}
	pprof.StopCPUProfile()
	reader, err := gzip.NewReader(&compressed)
	must(err)
	profile, err := io.ReadAll(reader)
	must(err)
	// A profile names the functions of its samples, and no others.
	if !bytes.Contains(profile, []byte("main.beProfiled")) {
		log.Fatal("no sample in the profile")
	}
}

func processorTime() time.Duration {
	const thisThread = 1 // RUSAGE_THREAD of getrusage(2).
	var usage syscall.Rusage
	must(syscall.Getrusage(thisThread, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// notifySegv has a SIGSEGV arrive that somebody has sent.
func notifySegv() {
	received := make(chan os.Signal, 1)
	signal.Notify(received, syscall.SIGSEGV)
	send(syscall.SIGSEGV)
	fmt.Println(<-received)
}

func terminateAfterReset() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM)
	signal.Reset(syscall.SIGTERM)
	send(syscall.SIGTERM)
	select {}
}

func send(s syscall.Signal) {
	must(syscall.Kill(syscall.Getpid(), s))
}
