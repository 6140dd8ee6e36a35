//go:build !amd64

// Package trap divides by zero.
package trap

var zero int

// DivideByZero panics. This processor's instruction does not trap.
func DivideByZero() { _ = 1 / zero }
