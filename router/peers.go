package router

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/router/link"
)

const (
	// maxLazyAck is how long an acknowledgement that nobody waits for may wait for traffic
	// to ride on, but no longer than a fifth of a message's time.
	maxLazyAck = time.Second
	// allRefused bounds the refused addresses that all links together remember where nothing
	// is signed, as long as each may remember leastRefused.
	allRefused   = 4 * link.MaxRefused
	leastRefused = 64
	// maxPeers bounds the peers, whether strangers' batches make them or owners that the
	// registry names. For an owner's sake one that is not in use may be forgotten.
	maxPeers = 1 << 12
	// announcementRoom is what messages leave of a link's window for what nodes announce to
	// each other, so that clients can connect whatever is sent.
	announcementRoom = link.MaxWindow / 8
	// idlePeer is how long a peer is kept without traffic, crowdedPeer when there are more
	// than half of maxPeers.
	idlePeer    = 5 * time.Minute
	crowdedPeer = 10 * time.Second
)

// peers is the table of the nodes that this one talks with. A peer's lock may be taken while
// mu is held. The lock of outgoing is a leaf.
type peers struct {
	r *Router
	// troubled counts the peers that are dead or do not answer: if there are none, nobody
	// needs to look for one.
	troubled atomic.Int64

	// byNode is replaced, not changed, with mu held: it is read for each message.
	byNode atomic.Pointer[map[string]*peer]
	mu     struct {
		sync.Mutex
		list []*peer // in the order in which they were added
	}
	outgoing struct { // with something to publish
		sync.Mutex
		list []*peer
	}
}

func newPeers(r *Router) *peers {
	t := &peers{r: r}
	t.byNode.Store(&map[string]*peer{})
	return t
}

// get returns the peer of that name, or nil.
func (t *peers) get(node string) *peer { return (*t.byNode.Load())[node] }

// all returns the peers in the order in which they were added.
func (t *peers) all() []*peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.mu.list)
}

func (t *peers) len() int { return len(*t.byNode.Load()) }

// lock returns the peer of that name with its lock held, or nil if there is none.
func (t *peers) lock(node string) *peer {
	for {
		p := t.get(node)
		if p == nil {
			return nil
		}
		if p.mu.Lock(); !p.forgotten {
			return p
		}
		p.mu.Unlock()
	}
}

// lockOrAdd returns the peer of that name with its lock held. At the bound one that nothing
// waits for, and that was not used for longest, is forgotten for a new one; it returns nil
// if there is none such.
func (t *peers) lockOrAdd(node string) *peer { return t.lockNew(node, true) }

// lockStranger is lockOrAdd for a node that has said something: no other is forgotten for it.
func (t *peers) lockStranger(node string) *peer { return t.lockNew(node, false) }

func (t *peers) lockNew(node string, forgets bool) *peer {
	for {
		if p := t.lock(node); p != nil {
			return p
		}
		if !t.add(node, forgets) {
			return nil
		}
	}
}

// add adds a peer, unless there is one of that name, and reports whether there is one now.
func (t *peers) add(node string, forgets bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.get(node) != nil {
		return true
	}
	if len(t.mu.list) >= maxPeers && !(forgets && t.forgetOneLocked()) {
		return false
	}
	now := t.r.now()
	p := t.r.newPeer(strings.Clone(node), now) // it may be a part of what was received
	byNode := maps.Clone(*t.byNode.Load())
	byNode[p.node] = p
	t.byNode.Store(&byNode)
	t.mu.list = append(t.mu.list, p)
	return true
}

// forgetOneLocked forgets the peer that nothing waits for and that was not used for longest.
func (t *peers) forgetOneLocked() bool {
	var last *peer
	var used time.Time
	for _, p := range t.mu.list {
		p.mu.Lock()
		if p.unusedLocked() && (last == nil || p.used.Before(used)) {
			last, used = p, p.used
		}
		p.mu.Unlock()
	}
	if last == nil {
		return false
	}
	last.mu.Lock()
	defer last.mu.Unlock()
	unused := last.unusedLocked() // it may be in use meanwhile
	if unused {
		t.forgetLocked(last)
	}
	return unused
}

// forgetIdle forgets peers that nothing is exchanged with, and does so sooner when there are
// so many that most must be strangers'.
func (t *peers) forgetIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	idle := idlePeer
	if len(t.mu.list) > maxPeers/2 {
		idle = crowdedPeer
	}
	now := t.r.now()
	for _, p := range slices.Clone(t.mu.list) {
		p.mu.Lock()
		if p.unusedLocked() && now.Sub(p.used) > idle {
			t.forgetLocked(p)
		}
		p.mu.Unlock()
	}
}

// forgetLocked removes a peer. What a link begins with must be newer than what any began with
// that is forgotten, or it could be played again. Without a key anybody could make up the
// life, so there it is not kept. It is called with both locks held.
func (t *peers) forgetLocked(p *peer) {
	if t.r.keyed() {
		t.r.lives.Forget(p.link.PeerLife())
	}
	t.flag(p, false, false)
	p.forgotten = true
	t.r.timers.stop(&p.deadline)
	byNode := maps.Clone(*t.byNode.Load())
	delete(byNode, p.node)
	t.byNode.Store(&byNode)
	i := slices.Index(t.mu.list, p)
	t.mu.list = slices.Delete(t.mu.list, i, i+1)
}

// flag notes what routes ask about a peer. It is called with the peer's lock held.
func (t *peers) flag(p *peer, stalled, dead bool) {
	if p.forgotten || p.stalled.Load() == stalled && p.dead.Load() == dead {
		return
	}
	before := p.stalled.Load() || p.dead.Load()
	p.stalled.Store(stalled)
	p.dead.Store(dead)
	switch after := stalled || dead; {
	case after && !before:
		t.troubled.Add(1)
	case before && !after:
		t.troubled.Add(-1)
	}
}

// stalls reports whether a node does not answer, or is suspect.
func (t *peers) stalls(node string) bool {
	if t.troubled.Load() == 0 {
		return false
	}
	p := t.get(node)
	return p != nil && p.stalled.Load()
}

// isDead reports whether a node is known to be dead.
func (t *peers) isDead(node string) bool {
	if t.troubled.Load() == 0 {
		return false
	}
	p := t.get(node)
	return p != nil && p.dead.Load()
}

// publishSoon adds a peer to those that the next Batches publishes for. It is called with the
// peer's lock held.
func (t *peers) publishSoon(p *peer) {
	t.outgoing.Lock()
	defer t.outgoing.Unlock()
	t.outgoing.list = append(t.outgoing.list, p)
}

// publishes reports whether anything is to be published.
func (t *peers) publishes() bool {
	t.outgoing.Lock()
	defer t.outgoing.Unlock()
	return len(t.outgoing.list) > 0
}

// takeOutgoing returns the peers with something to publish, and keeps room for later ones.
func (t *peers) takeOutgoing(room []*peer) []*peer {
	t.outgoing.Lock()
	defer t.outgoing.Unlock()
	taken := t.outgoing.list
	t.outgoing.list = room[:0]
	return taken
}

// putBack puts those that could not publish before those that came later.
func (t *peers) putBack(rest []*peer) {
	if len(rest) == 0 {
		return
	}
	t.outgoing.Lock()
	defer t.outgoing.Unlock()
	t.outgoing.list = slices.Insert(t.outgoing.list, 0, rest...)
}

// refusedLimit is how many refused addresses one link may remember, and how many nacks. Who
// has no key can make up thousands of nodes: then all links together remember no more than
// a few can.
func (t *peers) refusedLimit() int {
	if t.r.keyed() {
		return link.MaxRefused
	}
	return min(link.MaxRefused, max(allRefused/max(t.len(), 1), leastRefused))
}
