package router

import (
	"time"
)

// Each life of a link has a number, which its receiver takes for newer or older than
// that of another life, so that a batch of a former life, held up or played again, does
// nothing. A number is made of the time at which the life began, so that it is newer
// than any that the process gave before, and of chance, so that who can't listen can't
// acknowledge for the peer.
//
// A receiver that believes in a newer life than its sender is in takes nothing, but
// says what it believes in each acknowledgement. There are two ways to get there: it
// has forgotten the link meanwhile and allows only what is newer than all that it has
// forgotten, or somebody else has made up a batch. Then the sender begins a still newer
// life. Numbers are compared as if on a circle, as TCP's are, so there is always one.

// lifeBits is the part of a life's number that is chance. The rest is Unix µs.
const lifeBits = 12

// newerLife reports whether a is a newer life than b. 0 is no life.
func newerLife(a, b uint64) bool { return a != 0 && (b == 0 || int64(a-b) > 0) }

// nextLife returns a number for a life that begins now.
func (r *Router) nextLife() uint64 {
	life := uint64(r.now().UnixMicro())<<lifeBits | r.runtime.Rand()>>(64-lifeBits)
	if !newerLife(life, r.lives) {
		life = max(r.lives+1, 1) // not 0, behind the largest number
	}
	r.lives = life
	return life
}

// forgetLink removes a link. Who has recorded a batch of it could play it again as that
// of a new link: what a link begins with must be newer than what any began with that is
// forgotten. Without a key anybody could make up the number, so there it is not kept.
func (r *Router) forgetLink(node string, l *peer) {
	if next := max(l.in.link+1, 1); r.keyed() && l.in.link != 0 && newerLife(next, r.floor) {
		r.floor = next
	}
	delete(r.links, node)
}

const renewEvery = 100 * time.Millisecond

// renew begins a new life of the link, newer than what the peer believes in, and sends
// again what is not acknowledged. The peer knows by the messages' IDs what it has had. It has
// forgotten which addresses it refused: messages that must not pass an earlier one
// that was refused count as refused, too.
//
// It is not done twice within renewEvery: what is sent again may be much, and the peer
// says again what it believes.
func (l *peer) renew(r *Router, believed uint64) {
	now := r.now()
	if now.Sub(l.renewed) < renewEvery {
		return
	}
	l.renewed = now
	if newerLife(believed, r.lives) {
		r.lives = believed
	}
	var kept, refused []item
	for _, it := range l.window {
		if p, ok := it.cargo.(*pending); ok && p.inFlight && p.route.mending {
			refused = append(refused, it)
			continue
		}
		kept = append(kept, it)
	}
	anything := l.sent > l.base
	l.restart(r)
	l.window, l.room = kept, kept
	if anything {
		l.high, l.sent = l.end(), l.end() // of what was sent, any may have been received
	}
	for _, it := range kept {
		l.bytes += it.size
		if it.awaited {
			l.urgent++
		}
	}
	for _, it := range refused {
		it.cargo.settle(r, it.owner, fateJoining)
	}
	r.m.LinkRenewals.Inc()
	r.sayRenewed(l.node)
	r.dirty(l)
}

// sayEvery bounds how often one kind of trouble that others can cause is logged.
const sayEvery = time.Minute

// sayRenewed logs that a link begins anew, when mu is released. With a key only a peer that
// has forgotten the link makes it so, or a clock that was set back; without one, anybody.
func (r *Router) sayRenewed(peer string) {
	now := r.now()
	if now.Sub(r.renewedSaid) < sayEvery {
		return
	}
	r.renewedSaid = now
	r.calls = append(r.calls, call{done: func(MessageID, Outcome) {
		if r.keyed() {
			r.log.Info("link begins anew: its peer had forgotten it, or believed in a later life of it", "peer", peer)
			return
		}
		r.log.Warn("link begins anew: its peer believed in a later life of it; without BEELINE_CLUSTER_KEY anybody who may publish can make it so", "peer", peer)
	}})
}
