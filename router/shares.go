package router

import (
	"slices"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// The room for messages without an outcome is shared by all clients of a node. It is
// given out as switches give out their buffer memory (dynamic thresholds, Choudhury and
// Hahne 1998): who has some of it gets more only while he has less than what is free. So
// one client alone can have half of the room, two a third each, and one that has little
// finds room whatever the others do.

// share is what one client has of the room, as a sender or as a receiver. Router.mu
// guards it.
type share struct {
	client   string
	messages int
	bytes    int
}

// maxIdleShares is how many shares of clients that have nothing of the room are kept for
// their next messages, if there are not more that have something.
const maxIdleShares = 1 << 12

// shares are those of all clients, by name.
type shares struct {
	of   map[string]*share
	last *share // the one used last: an event loop takes many messages of one client
	idle int    // those without messages
}

func newShares() shares { return shares{of: make(map[string]*share)} }

// get returns a client's share, which is good until the next one is asked for, or as
// long as it has messages.
func (t *shares) get(client string) *share {
	if t.last != nil && t.last.client == client {
		return t.last
	}
	s := t.of[client]
	if s == nil {
		t.forgetIdle()
		s = &share{client: client}
		t.of[client] = s
		t.idle++
	}
	t.last = s
	return s
}

// forgetIdle keeps the table from growing with every client that ever sent.
func (t *shares) forgetIdle() {
	if t.idle < maxIdleShares || t.idle <= len(t.of)/2 {
		return
	}
	for client, s := range t.of {
		if s.messages == 0 {
			delete(t.of, client)
		}
	}
	t.idle, t.last = 0, nil
}

func (t *shares) add(s *share, size int) {
	if s.messages == 0 {
		t.idle--
	}
	s.messages++
	s.bytes += size
}

func (t *shares) remove(s *share) {
	if s.messages--; s.messages == 0 {
		t.idle++
	}
}

// has tells whether the share is so large that one more message of that size would take
// more than what is left for others.
func (s *share) has(free, freeBytes, size int) bool {
	return s.messages >= free || s.bytes > 0 && s.bytes+size > freeBytes
}

// overload is what a message found no room in: the closed set of the label reason.
type overload uint8

const (
	roomy            overload = iota // there is room
	overloadPending                  // the node's messages without outcome are at their bound
	overloadSender                   // the sender has its share of them, or of a link
	overloadReceiver                 // the receiver has
	overloadNode                     // the link to the receiver's node is full, or has its share of their bytes
	overloadLinks                    // there are links to too many other nodes
	overloadRedis                    // it is larger than Redis lets its subscribers lag
	overloadQueue                    // the receiver's sessions have no room in their queues
	overloadStalled                  // it would wait, and its sender has many that do

	overloads = iota
)

var overloadNames = [overloads]string{"", "pending", "sender", "receiver", "node", "links", "redis", "queue", "stalled"}

// roomFor tells what a message lacks room in, before it is accepted. Beyond the bounds,
// and beyond its sender's or its receiver's share, it is Overloaded.
func (d *pendingMessages) roomFor(m *Message) overload {
	size := len(m.Data)
	free, freeBytes := d.limit-d.count, d.limitBytes-d.bytes
	switch {
	case free <= 0 || size > freeBytes:
		return overloadPending
	case d.senders.get(m.From).has(free, freeBytes, size):
		return overloadSender
	case d.receivers.get(m.To).has(free, freeBytes, size):
		return overloadReceiver
	}
	return roomy
}

// roomForLocked tells what p, which was accepted, lacks room in on the way to the link's node.
// A message beyond it is Overloaded. What waits for a node that stands still may take
// half of the bytes, and of a link's window a sender or a receiver may take half; an eighth
// is left to announcements.
func (to *peer) roomForLocked(r *Router, p *pending) overload {
	free := link.MaxWindow - announcementRoom - to.link.Len()
	switch {
	case free <= 0:
		return overloadNode
	case p.sender != nil && p.sender.messages > free:
		return overloadSender
	case p.route.inflight > free:
		return overloadReceiver
	case to.link.Bytes() > 0 && to.link.Bytes() > r.pending.limitBytes-r.pending.bytes:
		return overloadNode
	}
	return roomy
}

// stalls tells whether a message to address would wait for a node that does not answer, or
// for Redis.
func (r *Router) stalls(address string) bool {
	rt := r.routes[address]
	return rt != nil && (rt.degraded || slices.ContainsFunc(rt.owners, r.stallsAt))
}

// stallsAt tells whether an owner's node does not answer.
func (r *Router) stallsAt(o registry.Owner) bool {
	return r.peers.stalls(o.NodeID)
}

// overloaded counts why a message found no room.
func (r *Router) overloaded(why overload) Outcome {
	r.overload[why].Inc()
	return Overloaded
}
