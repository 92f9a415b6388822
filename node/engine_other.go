//go:build !linux || 386

package node

// bestEngine is what this system offers.
func bestEngine(n *Node) engine { return newGoroutines(n) }
