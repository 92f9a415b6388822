//go:build race

package simulation

// few is how many histories of n a test has. The race detector makes them ten times as long
// and has nothing to find where one task runs at a time.
func few(n uint64) uint64 { return max(1, n/10) }
