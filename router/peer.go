package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

// peerState is what this node knows about whether a peer lives, in SWIM's words.
type peerState uint8

const (
	// peerAlive: there is no reason to doubt it. When its link is suspended, since a PUBLISH
	// reached nobody or it has not acknowledged for two timeouts, it is peerSuspect.
	peerAlive peerState = iota

	// peerSuspect: it may be dead, or not subscribed for a moment. What is for it waits, and
	// messages for its clients are looked up. A task probes it (suspect.go): when it is
	// subscribed again, or nobody waits for it any more, it is peerAlive and gets what has
	// waited; when its death is sure, it is peerDead.
	peerSuspect

	// peerDead: its lease has ended, or it is not at its address any more. Whatever was for it
	// has been answered. A lookup that finds its lease makes it peerAlive: it was only away. So
	// does its being suspected once more, when something is sent to it all the same and
	// nobody is there.
	peerDead
)

// peerEvent is what changes a peer's state.
type peerEvent uint8

const (
	linkSuspended peerEvent = iota // its link publishes nothing
	foundAlive                     // it is subscribed, or nobody waits for it
	foundDead
	leaseFound // of a dead one
)

// peer is what this node keeps for a node that it talks with. Its lock may be taken while
// a shard's is held, and no other lock but the leaves of peers while it is.
type peer struct {
	node    string
	channel string

	// What routes ask without the lock.
	stalled atomic.Bool // it does not answer, or is suspect
	dead    atomic.Bool // it is peerDead

	deadline deadline // when the link has something to do, or earlier; guarded by Router.timers

	mu        sync.Mutex
	state     peerState
	link      *link.Link
	used      time.Time
	foundAt   time.Time // when a probe found it alive last
	queued    bool      // it is among what is to be published
	forgotten bool      // it is not in the table any more
	wakeAt    time.Time // deadline, as it was set; zero: it is not
}

func (r *Router) newPeer(node string, now time.Time) *peer {
	p := &peer{node: node, channel: r.keys.Channel(node), used: now, link: link.New(now, link.Options{
		Lives: r.lives, LazyAck: r.lazyAck, ReplyTime: bus.ReplyTimeout,
	})}
	p.deadline.due = func(now time.Time) { r.tick(p, now) }
	return p
}

// onLocked changes the peer's state.
func (p *peer) onLocked(r *Router, e peerEvent) {
	switch {
	case e == linkSuspended && p.state != peerSuspect:
		p.state = peerSuspect
		r.suspect(p)
	case e == foundAlive && p.state == peerSuspect:
		p.state, p.foundAt = peerAlive, r.now()
		p.link.Resume(p.foundAt)
	case e == foundDead && p.state == peerSuspect:
		p.state = peerDead
	case e == leaseFound && p.state == peerDead:
		p.state = peerAlive
	}
}

// changedLocked has done what follows from an event of the link or of the state: the peer may
// be suspect, something may be there to publish, or a deadline.
func (p *peer) changedLocked(r *Router) {
	if p.link.State() == link.StateSuspended {
		p.onLocked(r, linkSuspended)
	}
	r.peers.flag(p, p.link.Stalls() || p.state == peerSuspect, p.state == peerDead)
	if !p.queued && p.link.Ready() {
		p.queued = true
		r.peers.publishSoon(p)
	}
	p.scheduleLocked(r)
}

// scheduleLocked has tick called when the link has something to do.
func (p *peer) scheduleLocked(r *Router) {
	at := p.link.NextDeadline()
	if at.IsZero() || !p.wakeAt.IsZero() && !at.Before(p.wakeAt) {
		return
	}
	p.wakeAt = at
	r.timers.setBy(&p.deadline, at)
}

// unusedLocked reports whether nothing waits on the link.
func (p *peer) unusedLocked() bool { return p.link.Unused() && !p.queued }

// do has the link take an event, and what follows from it done.
func (p *peer) do(r *Router, event func(*link.Link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	event(p.link)
	p.changedLocked(r)
}

// tick is called when the link may have something to do.
func (r *Router) tick(p *peer, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeAt = time.Time{}
	p.link.Tick(now)
	p.changedLocked(r)
}

// push puts a frame onto the link to a node. It is false if its window is full, or there is
// no room among the peers: then nothing is queued.
func (r *Router) push(node string, f link.Frame) bool {
	p := r.peers.lockOrAdd(node)
	if p == nil {
		return false
	}
	defer p.mu.Unlock()
	return p.pushLocked(r, r.now(), f)
}

func (p *peer) pushLocked(r *Router, now time.Time, f link.Frame) bool {
	p.used = now
	if !p.link.Push(now, f) {
		return false
	}
	p.changedLocked(r)
	return true
}

// acknowledge takes what a peer acknowledges. What that settles is for the routes, when the
// peer's lock is released.
func (p *peer) acknowledge(r *Router, a link.Ack, room []link.Settled) (settled []link.Settled, renewed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	settled, renewed = p.link.Acknowledge(r.now(), a, refusedBefore, room)
	p.changedLocked(r)
	return settled, renewed
}

// refusedBefore reports whether the payload must not pass an earlier one that was refused.
// It is called without the lock of its message's shard: the route of a message in flight
// stays the same, and what is refused is applied to routes before the next acknowledgement
// is taken.
func refusedBefore(x link.Payload) bool {
	p, ok := x.(*pending)
	return ok && !p.isOver() && p.route.repairing.Load()
}

// settle gives the results of frames to those who sent them. It is called without a lock.
func (r *Router) settle(node string, settled []link.Settled) {
	var held *shard // a lock for all messages to one shard in a row
	for _, s := range settled {
		owner := registry.Owner{NodeID: node, Token: s.Token}
		p, ok := s.Payload.(*pending)
		if held != nil && (!ok || p.shard != held) {
			held.unlockAndNotify()
			held = nil
		}
		if !ok {
			s.Payload.(payload).settle(r, owner, s.Result)
			continue
		}
		if held == nil {
			held = p.shard
			held.lock()
		}
		p.acked(held, owner, s.Result)
	}
	if held != nil {
		held.unlockAndNotify()
	}
}
