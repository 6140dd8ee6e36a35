package main

import (
	"errors"
	"log"
	"os"
	"reflect"
	"runtime"
	"strings"

	"crashmonitor"
)

// capturePanics has panics of many kinds captured, and compares what comes through with what does without. Panics that
// are none are among them.
func capturePanics() {
	failure := errors.New("an error")
	for _, f := range []func(){
		func() { panic("a string") },
		func() { panic(failure) },
		func() { dereferenceNil() },
		func() { panic(nil) },
		func() { panic(shy{}) },
		func() { panic("not \xff UTF-8, \x00 and long: " + strings.Repeat("ü", 20_000)) },
		func() {},
		func() { runtime.Goexit() },
		func() { defer func() { recover() }(); panic("recovered before") },
		func() { defer runtime.Goexit(); panic("ended by Goexit") },
	} {
		without := outcomeOf(f)
		with := outcomeOf(func() {
			defer crashmonitor.CapturePanic()
			f()
		})
		if !reflect.DeepEqual(with, without) {
			log.Fatalf("%+v, without CapturePanic %+v", with, without)
		}
	}
	_, err := crashmonitor.DumpNow("afterwards")
	must(err)
	must(crashmonitor.Uninstall())
	_, err = crashmonitor.DumpNow("")
	mustFailWith(crashmonitor.ErrNotInstalled, err)
	if got := outcomeOf(func() { defer crashmonitor.CapturePanic(); panic("not installed") }); got.value != "not installed" {
		log.Fatalf("%+v", got)
	}
	os.Exit(0)
}

// shy panics when it is to be printed.
type shy struct{}

func (shy) Error() string { panic("not printed") }

// An end is how a function has ended in a goroutine.
type end struct {
	returned, goesOn bool // Neither after Goexit; after a panic the goroutine goes on.
	value            any
}

func outcomeOf(f func()) (got end) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		func() {
			defer func() { got.value = recover() }()
			f()
			got.returned = true
		}()
		got.goesOn = true
	}()
	<-ended
	return got
}
