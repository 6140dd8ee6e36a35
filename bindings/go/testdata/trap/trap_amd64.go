// Package trap divides by zero.
package trap

// DivideByZero divides with the processor's instruction, which raises SIGFPE. Compiled Go code never comes to that: it
// compares with zero first.
func DivideByZero()
