// bare: a program without crash-monitor, to compare with.
package main

import "crashmonitor/testdata/signalstack"

func main() { signalstack.Print() }
