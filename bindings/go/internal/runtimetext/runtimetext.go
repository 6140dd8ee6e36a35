//go:build amd64 || arm64

// Package runtimetext tells where the machine code that the Go compiler made lies in this process. It is a package of
// its own because a package that uses cgo cannot hold Go assembly, and no Go code can name the linker's symbols.
package runtimetext

// Range returns the first address of Go's machine code and the first one behind it. C code lies outside, also where
// it is linked into the same executable.
func Range() (begin, end uintptr)
