package router

import (
	"time"

	"github.com/beeline-ws/beeline/router/link"
)

// inlink is the receiving side of a link. Router.mu guards it, but for what was
// refused, which is the inbox's goroutine's alone.
type inlink struct {
	link       uint64 // the peer's number for this life of its side
	expected   uint64 // the next number to take
	exceptions []link.Nack
	due        time.Time // when an acknowledgement is sent at the latest; zero: none is owed
	heard      time.Time // the last batch
	unsaid     int       // envelopes not acknowledged yet
	unsaidSize int       // their bytes

	// Addresses refused and not yet begun anew, in two generations.
	young, old map[string]struct{}
	turned     time.Time // when old was young
}

// owe notes that the peer is to have an acknowledgement within d, of n envelopes
// more that have so many bytes.
func (l *peer) owe(r *Router, n, size int, d time.Duration) {
	now := r.now()
	l.in.unsaid += n
	l.in.unsaidSize += size
	if l.in.unsaid >= ackEvery || l.in.unsaidSize >= ackBytes {
		d = 0
	}
	if d == receiptAck && now.Sub(l.in.heard) > quietLink {
		d = 0
	}
	l.in.heard = now
	if due := now.Add(d); l.in.due.IsZero() || due.Before(l.in.due) {
		l.in.due = due
	}
	if d == 0 {
		r.dirty(l)
		return
	}
	r.schedule(l.in.due)
}

// takes decides which of a batch's n envelopes are new: all but the first skip.
// A gap means that an earlier batch was lost; the sender will come back to it. What was
// sent in a former life of the link, and was held up on its way, comes too late: it was
// answered for, and its numbers are not those of now.
// Nor is more taken while limit envelopes were refused that the sender does not know of
// yet.
func (in *inlink) takes(h *link.Header, n, limit int) (skip int, ok bool) {
	if h.Base > h.First || h.First-h.Base+uint64(n) > link.MaxWindow+1 {
		return 0, false // no link of ours has such a window
	}
	if newerLife(in.link, h.Life) {
		return 0, false
	}
	if in.link != h.Life {
		*in = inlink{link: h.Life, expected: h.Base, due: in.due, heard: in.heard}
	}
	for len(in.exceptions) > 0 && in.exceptions[0].Seq < h.Base {
		in.exceptions = in.exceptions[1:]
	}
	if h.Base > in.expected { // somebody else has acknowledged what did not come: it will not be sent again
		in.expected = h.Base
	}
	if h.First > in.expected || len(in.exceptions) >= limit {
		return 0, false
	}
	return int(min(in.expected-h.First, uint64(n))), true
}

// admits tells whether a message may be delivered: not if an earlier one for the
// address was refused and this one might overtake it.
func (in *inlink) admits(a *arrival) bool {
	if len(in.young)+len(in.old) == 0 {
		return true
	}
	if a.flags&link.FlagFirst != 0 {
		delete(in.young, a.To)
		delete(in.old, a.To)
		return true
	}
	_, young := in.young[a.To]
	_, old := in.old[a.To]
	return !young && !old
}

// refuse remembers that a message for address was refused, for as long as one sent
// before may follow, which is no longer than a message lives. Beyond limit the older half
// is forgotten.
func (in *inlink) refuse(address string, now time.Time, life time.Duration, limit int) {
	if in.young == nil || now.Sub(in.turned) > life || len(in.young) >= limit {
		in.old, in.young, in.turned = in.young, make(map[string]struct{}), now
	}
	in.young[address] = struct{}{}
}

// refusalLimit is how much may be remembered of what was refused on one link. Who has no key can
// make up thousands of nodes: then all links together remember no more than a few can.
func (r *Router) refusalLimit() int {
	if r.keyed() {
		return link.MaxRefused
	}
	return min(link.MaxRefused, max(allRefused/max(len(r.links), 1), leastRefused))
}
