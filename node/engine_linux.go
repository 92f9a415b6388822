//go:build !386

package node

// bestEngine is what this system offers.
func bestEngine(n *Node) engine {
	e, err := newEpoll(n)
	if err != nil {
		n.log.Warn("no epoll; a goroutine serves each session", "error", err)
		return newGoroutines(n)
	}
	return e
}
