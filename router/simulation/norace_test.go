//go:build !race

package simulation

// few is how many histories of n a test has: all, unless the race detector makes them slow.
func few(n uint64) uint64 { return n }
