package router

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// The room for messages without an outcome is shared by all clients of a node. It is
// given out as switches give out their buffer memory (dynamic thresholds, Choudhury and
// Hahne 1998): who has some of it gets more only while he has less than what is free. So
// one client alone can have half of the room, two a third each, and one that has little
// finds room whatever the others do.

// room is that of all shards. It has no lock that all messages share.
type room struct {
	limit, limitBytes int64
	messages, bytes   atomic.Int64
	senders           []senderShares // by a hash of the client's name
}

// senderShares are the shares of some of the senders. Its lock may be taken while a shard's
// is held.
type senderShares struct {
	mu struct {
		sync.Mutex
		shares
	}
}

func newRoom(limitBytes, parts int) *room {
	x := &room{limit: maxPending, limitBytes: int64(limitBytes), senders: make([]senderShares, parts)}
	for i := range x.senders {
		x.senders[i].mu.shares = newShares(maxIdleShares / parts)
	}
	return x
}

func (x *room) senderShares(client string) *senderShares {
	return &x.senders[part(client, len(x.senders))]
}

// reserve gives a message room, or returns what it lacks room in: beyond the bounds, and
// beyond its sender's or its receiver's share, it is Overloaded. receivers are its shard's.
func (x *room) reserve(p *pending, receivers *shares) overload {
	size := int64(len(p.Data))
	free, freeBytes := x.limit-x.messages.Add(1)+1, x.limitBytes-x.bytes.Add(size)+size
	why := overloadPending
	if free > 0 && size <= freeBytes {
		why = x.reserveShares(p, receivers, free, freeBytes)
	}
	if why != roomy {
		x.messages.Add(-1)
		x.bytes.Add(-size)
	}
	return why
}

func (x *room) reserveShares(p *pending, receivers *shares, free, freeBytes int64) overload {
	size := int64(len(p.Data))
	senders := x.senderShares(p.From)
	senders.mu.Lock()
	defer senders.mu.Unlock()
	sender, receiver := senders.mu.get(p.From), receivers.get(p.To)
	switch {
	case sender.has(free, freeBytes, size):
		return overloadSender
	case receiver.has(free, freeBytes, size):
		return overloadReceiver
	}
	p.senders, p.sender, p.receiver = senders, sender, receiver
	senders.mu.add(sender, size)
	receivers.add(receiver, size)
	return roomy
}

// lacks reports whether a message would find no room now.
func (x *room) lacks(p *pending, receivers *shares) bool {
	if x.reserve(p, receivers) != roomy {
		return true
	}
	x.giveBack(p, receivers)
	return false
}

// giveBack undoes reserve.
func (x *room) giveBack(p *pending, receivers *shares) {
	x.releaseData(p)
	x.release(p, receivers)
}

// releaseData gives back the bytes of p's data.
func (x *room) releaseData(p *pending) {
	size := int64(len(p.Data))
	x.bytes.Add(-size)
	p.sender.bytes.Add(-size)
	p.receiver.bytes.Add(-size)
}

// release gives back p's place among the messages.
func (x *room) release(p *pending, receivers *shares) {
	x.messages.Add(-1)
	p.senders.mu.Lock()
	p.senders.mu.remove(p.sender)
	p.senders.mu.Unlock()
	receivers.remove(p.receiver)
	p.senders, p.sender, p.receiver = nil, nil, nil
}

// freeBytes returns how many bytes of data there is room for.
func (x *room) freeBytes() int { return int(x.limitBytes - x.bytes.Load()) }

// share is what one client has of the room, as a sender or as a receiver. It is changed
// with the lock of its table held, but for bytes that are given back.
type share struct {
	client   string
	messages atomic.Int64
	bytes    atomic.Int64
}

// maxIdleShares is how many shares of clients that have nothing of the room are kept for
// their next messages, if there are not more that have something: as many of senders as of
// receivers.
const maxIdleShares = 1 << 12

// shares are those of some clients, by name.
type shares struct {
	of      map[string]*share
	last    *share // the one used last: an event loop takes many messages of one client
	idle    int    // those without messages
	maxIdle int
}

func newShares(maxIdle int) shares { return shares{of: make(map[string]*share), maxIdle: maxIdle} }

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
	if t.idle < t.maxIdle || t.idle <= len(t.of)/2 {
		return
	}
	for client, s := range t.of {
		if s.messages.Load() == 0 {
			delete(t.of, client)
		}
	}
	t.idle, t.last = 0, nil
}

func (t *shares) add(s *share, size int64) {
	if s.messages.Add(1) == 1 {
		t.idle--
	}
	s.bytes.Add(size)
}

func (t *shares) remove(s *share) {
	if s.messages.Add(-1) == 0 {
		t.idle++
	}
}

// has reports whether the share is so large that one more message of that size would take
// more than what is left for others.
func (s *share) has(free, freeBytes, size int64) bool {
	bytes := s.bytes.Load()
	return s.messages.Load() >= free || bytes > 0 && bytes+size > freeBytes
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

// roomForLocked returns what p, which was accepted, lacks room in on the way to the link's node.
// A message beyond it is Overloaded. What waits for a node that stands still may take
// half of the bytes, and of a link's window a sender or a receiver may take half; an eighth
// is left to announcements.
func (to *peer) roomForLocked(r *Router, p *pending) overload {
	free := link.MaxWindow - announcementRoom - to.link.Len()
	switch {
	case free <= 0:
		return overloadNode
	case p.sender != nil && p.sender.messages.Load() > int64(free):
		return overloadSender
	case p.route.inflight > free:
		return overloadReceiver
	case to.link.Bytes() > 0 && to.link.Bytes() > r.room.freeBytes():
		return overloadNode
	}
	return roomy
}

// stalls reports whether a message to address would wait for a node that does not answer, or
// for Redis.
func (s *shard) stalls(address string) bool {
	rt := s.routes[address]
	return rt != nil && (rt.degraded || slices.ContainsFunc(rt.owners, s.r.stallsAt))
}

// stallsAt reports whether an owner's node does not answer.
func (r *Router) stallsAt(o registry.Owner) bool {
	return r.peers.stalls(o.NodeID)
}

// overloaded counts why a message found no room.
func (r *Router) overloaded(why overload) Outcome {
	r.overload[why].Inc()
	return Overloaded
}
