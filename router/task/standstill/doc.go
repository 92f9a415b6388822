// Package standstill watches whether the machine lets this program run. Tests use it to
// tell what is wrong with a node from what comes of a machine that stood still.
//
// A watch has one goroutine, which looks at the clock twenty times a second until Stop, which
// awaits it. The package imports nothing of beeline.
package standstill
