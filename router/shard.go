package router

import (
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

const (
	// maxShards is how many shards a router has, so that many cores seldom meet at one.
	maxShards = 64
	// shardRoutes is how many cached routes a shard has at least: a router that caches few
	// owners has fewer shards, since each forgets the route that it has used longest ago.
	shardRoutes = 1 << 10
)

// shard is the routes of a part of all addresses, with the messages to them. Which shard
// has an address depends on nothing but its name, so the messages to one address meet one
// lock, and keep their order.
type shard struct {
	r *Router

	// mu guards all below, the routes, and the messages to them. Locks of peers, of the lookup
	// batcher and of tables may be taken while it is held; no other shard's, but by lockAll.
	mu sync.Mutex
	at time.Time // what the clock said; zero: it was not read since mu is held

	routes     map[string]*route
	idleRoutes routeLRU

	pending   list[*pending] // by deadlines: all live equally long, so the oldest is first
	expiry    deadline       // of the oldest one, or earlier
	receivers shares
	receipts  map[MessageID]*pending // messages whose receipts are envelopes
	unused    []*pending             // for the next messages

	deadlines deadlines
	wake      deadline  // when the first of them is due, or earlier; in Router.timers
	wakeAt    time.Time // the same; zero: it is not set

	calls        []call   // senders' callbacks, run when mu is released
	handovers    []*route // whose messages for this node's sessions are handed over then
	handoverRoom []handover
}

func newShard(r *Router, routes, parts int) *shard {
	s := &shard{
		r: r, routes: make(map[string]*route), idleRoutes: routeLRU{limit: routes},
		receivers: newShares(maxIdleShares / parts), receipts: make(map[MessageID]*pending),
	}
	s.expiry.due = s.expireDue
	s.wake.due = s.sweep
	return s
}

// shards are all of a router's.
type shards []*shard

// newShards returns shards that cache the owners of so many addresses; none, if it is negative.
func newShards(r *Router, ownerCache int) shards {
	n := maxShards
	if ownerCache >= 0 {
		n = min(max(ownerCache/shardRoutes, 1), maxShards)
	}
	all := make(shards, n)
	for i := range all {
		all[i] = newShard(r, ownerCache/n, n)
	}
	return all
}

// of returns the shard of an address.
func (t shards) of(address string) *shard { return t[part(address, len(t))] }

// part returns which of n parts a name belongs to.
func part(name string, n int) uint64 { return xxhash.Sum64String(name) % uint64(n) }

// lock locks mu. In the time for which it is held the clock is read once (now).
func (s *shard) lock() {
	s.mu.Lock()
	s.at = time.Time{}
}

// now returns the time, at which all is done until mu is released.
func (s *shard) now() time.Time {
	if s.at.IsZero() {
		s.at = s.r.now()
	}
	return s.at
}

// lockAll locks all shards, in their order, and unlockAll unlocks them. It is for what must
// happen to the messages of all at once, and is rare: the death of a node.
func (t shards) lockAll() {
	for _, s := range t {
		s.lock()
	}
}

// unlockAll releases all before it does what gathered under any of them: see unlockAndNotify.
func (t shards) unlockAll() {
	var calls []call
	var handOver []*shard
	for _, s := range t {
		calls = append(calls, s.calls...)
		s.calls = nil
		if len(s.handovers) > 0 {
			handOver = append(handOver, s)
		}
		s.mu.Unlock()
	}
	for _, c := range calls {
		c.done(c.id, c.outcome)
	}
	for _, s := range handOver {
		s.handOverDue()
	}
}

// unlockAndNotify releases mu and then does what gathered under it: it runs senders'
// callbacks, and hands over messages for this node's sessions.
func (s *shard) unlockAndNotify() {
	handsOver := len(s.handovers) > 0
	switch len(s.calls) {
	case 0:
		s.mu.Unlock()
	case 1: // often, and then nothing need be allocated
		c := s.calls[0]
		s.calls = s.calls[:0]
		s.mu.Unlock()
		c.done(c.id, c.outcome)
	default:
		calls := s.calls
		s.calls = nil
		s.mu.Unlock()
		for _, c := range calls {
			c.done(c.id, c.outcome)
		}
	}
	if handsOver {
		s.handOverDue()
	}
}

// call is a sender's callback that is due.
type call struct {
	done    func(MessageID, Outcome)
	id      MessageID
	outcome Outcome
}

// routeTo returns the route to an address.
func (s *shard) routeTo(address string) *route {
	rt := s.routes[address]
	if rt == nil {
		rt = &route{address: address}
		s.routes[address] = rt
	}
	return rt
}
