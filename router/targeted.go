package router

import "context"

// way is one delivery: how a message gets to its owners, and what an address
// needs before its sessions can be reached that way.
type way interface {
	// open returns once messages for address reach this node.
	open(ctx context.Context, address string) error
	// close ends that.
	close(address string)
	// send takes an accepted message, with mu held.
	send(p *pending)
}

// targeted asks the registry who owns the address and publishes to those nodes'
// private channels only. It needs nothing of an address: its node hears its
// private channel before it claims anything.
type targeted struct{ r *Router }

func (targeted) open(context.Context, string) error { return nil }
func (targeted) close(string)                       {}

func (w targeted) send(p *pending) {
	if p.route == nil {
		p.route = w.r.routeTo(p.To)
	}
	p.route.send(w.r, p)
}
