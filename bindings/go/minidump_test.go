package crashmonitor_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"unicode/utf16"
)

// A minidump holds what the tests look at. The layouts are those of Microsoft's minidumpapiset.h.
type minidump struct {
	thread  uint32 // The one that crashed.
	signal  uint32
	code    int32 // The signal's si_code.
	address uint64
	pc, sp  uint64
	stacks  map[uint32][]byte // By thread.
	modules []module

	memory      map[uint64][]byte // By address.
	annotations map[string]string
	environment string // NUL after each variable.
}

type module struct {
	name  string
	begin uint64
	end   uint64
}

const (
	streamThreads     = 3
	streamModules     = 4
	streamMemory      = 5
	streamException   = 6
	streamEnvironment = 0x47670007 // Breakpad's.
	streamCrashpad    = 0x43500001
)

// Where a thread context holds program counter and stack pointer: MDRawContextAMD64 and MDRawContextARM64 in Breakpad's
// minidump_cpu_*.h.
var (
	pcOffset = map[string]uint32{"amd64": 248, "arm64": 264}[runtime.GOARCH]
	spOffset = map[string]uint32{"amd64": 152, "arm64": 256}[runtime.GOARCH]
)

type location struct{ Size, Offset uint32 }

func readMinidump(t *testing.T, path string) *minidump {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// read fills a fixed-size value from the file and gives the offset behind it.
	read := func(offset uint32, into any) uint32 {
		if int(offset)+binary.Size(into) > len(file) {
			t.Fatalf("%s ends before offset %d", path, int(offset)+binary.Size(into))
		}
		if err := binary.Read(bytes.NewReader(file[offset:]), binary.LittleEndian, into); err != nil {
			t.Fatal(err)
		}
		return offset + uint32(binary.Size(into))
	}

	var header struct{ Signature, Version, Streams, Directory uint32 }
	read(0, &header)
	if header.Signature != 0x504d444d { // "MDMP"
		t.Fatalf("%s is not a minidump", path)
	}
	streams := map[uint32]uint32{}
	sizes := map[uint32]uint32{}
	for next := header.Directory; len(streams) < int(header.Streams); {
		var entry struct {
			Kind uint32
			At   location
		}
		next = read(next, &entry)
		streams[entry.Kind], sizes[entry.Kind] = entry.At.Offset, entry.At.Size
	}

	dump := &minidump{stacks: map[uint32][]byte{}}
	var exception struct {
		Thread, _, Signal uint32
		Code              int32
		Record, Address   uint64
		Parameters, _     uint32
		Information       [15]uint64
		Context           location
	}
	read(streams[streamException], &exception)
	dump.thread, dump.signal, dump.code = exception.Thread, exception.Signal, exception.Code
	dump.address = exception.Address
	read(exception.Context.Offset+pcOffset, &dump.pc)
	read(exception.Context.Offset+spOffset, &dump.sp)

	var count uint32
	for next := read(streams[streamThreads], &count); count > 0; count-- {
		var thread struct {
			ID, Suspended, PriorityClass, Priority uint32
			Environment, StackStart                uint64
			Stack, Context                         location
		}
		next = read(next, &thread)
		stack := make([]byte, thread.Stack.Size)
		read(thread.Stack.Offset, stack)
		dump.stacks[thread.ID] = stack
	}

	for next := read(streams[streamModules], &count); count > 0; count-- {
		var entry struct {
			Base                       uint64
			Size, Checksum, Time, Name uint32
			_                          [13]uint32 // Version.
			CodeView, Miscellaneous    location
			_                          [2]uint64
		}
		next = read(next, &entry)
		var bytes uint32
		name := read(entry.Name, &bytes)
		units := make([]uint16, bytes/2)
		read(name, units)
		dump.modules = append(dump.modules, module{string(utf16.Decode(units)), entry.Base, entry.Base + uint64(entry.Size)})
	}

	dump.memory = map[uint64][]byte{}
	for next := read(streams[streamMemory], &count); count > 0; count-- {
		var entry struct {
			Start uint64
			At    location
		}
		next = read(next, &entry)
		memory := make([]byte, entry.At.Size)
		read(entry.At.Offset, memory)
		dump.memory[entry.Start] = memory
	}

	var crashpad struct {
		Version           uint32
		Report, Client    [16]byte
		Annotations, List location
	}
	text := func(offset uint32) string {
		var length uint32
		next := read(offset, &length)
		bytes := make([]byte, length)
		read(next, bytes)
		return string(bytes)
	}
	dump.annotations = map[string]string{}
	if at, ok := streams[streamCrashpad]; ok {
		read(at, &crashpad)
		for next := read(crashpad.Annotations.Offset, &count); count > 0; count-- {
			var entry struct{ Key, Value uint32 }
			next = read(next, &entry)
			dump.annotations[text(entry.Key)] = text(entry.Value)
		}
	}

	environment := make([]byte, sizes[streamEnvironment])
	read(streams[streamEnvironment], environment)
	dump.environment = string(environment)
	return dump
}

// moduleAt returns the name of the module that holds an address, or "".
func (dump *minidump) moduleAt(address uint64) string {
	for _, module := range dump.modules {
		if address >= module.begin && address < module.end {
			return module.name
		}
	}
	return ""
}
