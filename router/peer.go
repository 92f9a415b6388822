package router

import (
	"strings"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/bus"
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

// peer is the router's state for a node that it talks with. Router.mu guards it.
type peer struct {
	node    string
	channel string
	used    time.Time
	link    *link.Link
	queued  bool // it is among what is to be published
	slow    bool // it counts in Router.slowPeers
	// deadline is when the link has something to do, or earlier.
	deadline deadline
}

// roomForPeer reports whether there is a peer of that name, or may be one. At the bound one
// that nothing waits for, and that was not used for longest, is forgotten for it.
func (r *Router) roomForPeer(node string) bool {
	if r.peers[node] != nil || len(r.peers) < maxPeers {
		return true
	}
	var last *peer
	for _, p := range r.peers {
		if p.unused() && (last == nil || p.used.Before(last.used)) {
			last = p
		}
	}
	if last == nil {
		return false
	}
	r.forgetPeer(last)
	return true
}

// unused reports whether nothing waits on the link.
func (p *peer) unused() bool { return p.link.Unused() && !p.queued }

// peer returns the peer of that name.
func (r *Router) peer(node string) *peer {
	now := r.now()
	p := r.peers[node]
	if p == nil {
		node = strings.Clone(node) // it may be a part of what was received
		p = &peer{node: node, channel: r.keys.Channel(node), link: link.New(now, r.linkOptions())}
		p.deadline.due = func(now time.Time) { r.tick(p, now) }
		r.peers[node] = p
	}
	p.used = now
	return p
}

func (r *Router) linkOptions() link.Options {
	return link.Options{Lives: r.lives, LazyAck: r.lazyAck, ReplyTime: bus.ReplyTimeout}
}

// forgetPeer removes a peer. What a link begins with must be newer than what any began with
// that is forgotten, or it could be played again. Without a key anybody could make up the
// life, so there it is not kept.
func (r *Router) forgetPeer(p *peer) {
	if r.keyed() {
		r.lives.Forget(p.link.PeerLife())
	}
	r.deadlines.stop(&p.deadline)
	delete(r.peers, p.node)
}

// forgetIdlePeers forgets peers that nothing is exchanged with, and does so sooner when
// there are so many that most must be strangers'.
func (r *Router) forgetIdlePeers() {
	r.mu.Lock()
	defer r.unlock()
	idle := idlePeer
	if len(r.peers) > maxPeers/2 {
		idle = crowdedPeer
	}
	for _, p := range r.peers {
		if p.unused() && r.now().Sub(p.used) > idle {
			r.forgetPeer(p)
		}
	}
}

// push puts a frame onto the link to a peer. It is false if the link's window is full:
// nothing is queued beyond it.
func (r *Router) push(p *peer, f link.Frame) bool {
	if !p.link.Push(r.now(), f) {
		return false
	}
	r.linkChanged(p)
	return true
}

// linkChanged has done what follows from an event of a link: something may be there to
// publish, or a deadline, and the peer may have become slow.
func (r *Router) linkChanged(p *peer) {
	if slow := p.stalls(); slow != p.slow {
		if p.slow = slow; slow {
			r.slowPeers++
		} else {
			r.slowPeers--
		}
	}
	r.publishSoon(p)
	if at := p.link.NextDeadline(); !at.IsZero() {
		r.setDeadlineBy(&p.deadline, at)
	}
}

// publishSoon has whoever publishes look at the link if it has something to publish.
func (r *Router) publishSoon(p *peer) {
	if p.queued || !p.link.Ready() {
		return
	}
	p.queued = true
	r.outgoing = append(r.outgoing, p)
}

// stalls reports whether the peer does not answer, or may be dead or deaf.
func (p *peer) stalls() bool { return p.link.Stalls() || p.link.State() == link.StateSuspended }

// batch encodes what waits on the link.
func (r *Router) batch(p *peer, b []byte) ([]byte, link.Batch) {
	b, out, counts := p.link.Batch(r.now(), r.header(), b)
	for kind, n := range counts.Kinds {
		if n > 0 {
			r.published[kind].Add(float64(n))
		}
	}
	if counts.Resent > 0 {
		r.m.LinkResends.Add(float64(counts.Resent))
	}
	if at := p.link.NextDeadline(); !at.IsZero() {
		r.setDeadlineBy(&p.deadline, at)
	}
	return b, out
}

// batchReplied takes the outcome of a batch's PUBLISH.
func (r *Router) batchReplied(p *peer, b *link.Batch, receivers int64, err error) {
	if p.link.Published(r.now(), b, receivers, err != nil) {
		r.judge(p)
	}
	r.linkChanged(p)
}

// acknowledged settles what the peer has taken.
func (r *Router) acknowledged(p *peer, a link.Ack) {
	settled, renewed := p.link.Acknowledge(r.now(), a, refusedBefore, r.takeSettled())
	if renewed {
		r.m.LinkRenewals.Inc()
		r.logRenewed(p.node)
	}
	r.linkChanged(p)
	r.settle(p, settled)
}

// refusedBefore reports whether the payload must not pass an earlier one that was refused.
func refusedBefore(x link.Payload) bool {
	p, ok := x.(*pending)
	return ok && p.state == pendingInflight && p.route.state == routeRepairing
}

// takeSettled returns room for settled frames.
func (r *Router) takeSettled() []link.Settled {
	room := r.settledRoom
	r.settledRoom = nil
	return room[:0]
}

// settle gives the results of frames to those who sent them, and keeps the room.
func (r *Router) settle(p *peer, settled []link.Settled) {
	for _, s := range settled {
		s.Payload.(payload).settle(r, registry.Owner{NodeID: p.node, Token: s.Token}, s.Result)
	}
	clear(settled)
	r.settledRoom = settled
}

// tick is called when the link may have something to do.
func (r *Router) tick(p *peer, now time.Time) {
	if p.link.Tick(now) {
		r.judge(p)
	}
	r.linkChanged(p)
}

// goBack has what is not acknowledged published again at once, when there is a connection.
func (r *Router) goBack(p *peer) {
	p.link.GoBack()
	r.linkChanged(p)
}

// refusedLimit is how many refused addresses one link may remember, and how many nacks. Who
// has no key can make up thousands of nodes: then all links together remember no more than
// a few can.
func (r *Router) refusedLimit() int {
	if r.keyed() {
		return link.MaxRefused
	}
	return min(link.MaxRefused, max(allRefused/max(len(r.peers), 1), leastRefused))
}

// sayEvery bounds how often one kind of trouble that others can cause is logged.
const sayEvery = time.Minute

// logRenewed logs that a link begins anew, when mu is released. With a key only a peer that
// has forgotten the link makes it so, or a clock that was set back; without one, anybody.
func (r *Router) logRenewed(peer string) {
	now := r.now()
	if now.Sub(r.renewedLogged) < sayEvery {
		return
	}
	r.renewedLogged = now
	r.calls = append(r.calls, call{done: func(MessageID, Outcome) {
		if r.keyed() {
			r.log.Info("link begins anew: its peer had forgotten it, or believed in a later life of it", "peer", peer)
			return
		}
		r.log.Warn("link begins anew: its peer believed in a later life of it; without BEELINE_CLUSTER_KEY anybody who may publish can make it so", "peer", peer)
	}})
}
