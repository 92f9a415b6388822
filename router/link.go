package router

import (
	"strings"
	"time"

	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

const (
	// maxBatchBytes is where a batch ends; the rest goes with the next.
	maxBatchBytes = 1 << 20
	// maxLazyAck is how long an acknowledgement that nobody waits for may wait for
	// traffic to ride on (but no longer than a fifth of a message's time), receiptAck how long one may that is a receipt. On a link
	// that was quiet for quietLink there is no traffic to be expected.
	maxLazyAck = time.Second
	receiptAck = 5 * time.Millisecond
	quietLink  = 100 * time.Millisecond
	// ackEvery is how many envelopes are received before they are acknowledged,
	// whatever the time: their senders' sessions may have only so many under way.
	ackEvery = 32
	ackBytes = 64 << 10 // or this many bytes: they are held until then
	// firstResend is how long a link waits for an acknowledgement before it goes
	// back to what is not acknowledged, and longer by a lazy one if nobody waits for any
	// of it; the wait doubles up to lastResend.
	firstResend = 250 * time.Millisecond
	lastResend  = 2 * time.Second
	// allRefused bounds that for all links together where nothing is signed, as long as
	// each has leastRefused.
	allRefused   = 4 * link.MaxRefused
	leastRefused = 64
	// maxLinks bounds the links, whether strangers' batches make them or owners that the
	// registry names. For an owner's sake one that is not in use may be forgotten.
	maxLinks = 1 << 12
	// noticeRoom is what messages leave of the window for what nodes tell each other, so
	// that clients can connect whatever is sent.
	noticeRoom = link.MaxWindow / 8
	// idleLink is how long a link is kept without traffic, crowdedLink when there are more
	// than half of maxLinks.
	idleLink    = 5 * time.Minute
	crowdedLink = 10 * time.Second
)

// link is the router's state for a node it talks with. Router.mu guards it.
type peer struct {
	node    string
	channel string
	used    time.Time

	// What goes out: window[i] has the number base+i; those below next are
	// published, those below high may have been received, by what PUBLISH says, and
	// those below sent by what it doesn't know: after a failover the peer may still
	// hear by way of the former master, which is a replica now.
	id      uint64
	base    uint64
	next    uint64
	high    uint64
	sent    uint64
	relayed bool // the peer has acknowledged what PUBLISH had counted for nobody
	// uncounted is since when the window may have what PUBLISH has counted for nobody:
	// published no longer than bus.ReplyTimeout before its reply, or the connection would be gone.
	uncounted time.Time
	window    []item
	bytes     int    // the sizes of the window's items
	flying    int    // of those below next
	budget    int    // for them
	room      []item // what window is a part of, from its start
	queued    bool   // it is among what is to be published
	urgent    int    // items of the window whose acknowledgements are awaited

	// What waits for the peer: an acknowledgement, or that it hears again.
	progress time.Time // of the acknowledgements, while some are awaited
	resend   time.Duration
	renewed  time.Time // the last time that the peer believed in a later life
	judged   bool      // a judge decides whether the peer is dead or deaf
	unheard  bool      // because a PUBLISH reached nobody

	in inlink
}

// roomForLink tells whether there is a link to a node, or may be one. At the bound one
// that nothing waits for, and that was not used for longest, is forgotten for it.
func (r *Router) roomForLink(node string) bool {
	if r.links[node] != nil || len(r.links) < maxLinks {
		return true
	}
	var last *peer
	for _, l := range r.links {
		if l.idles() && (last == nil || l.used.Before(last.used)) {
			last = l
		}
	}
	if last == nil {
		return false
	}
	r.forgetLink(last.node, last)
	return true
}

// idles tells whether nothing waits on the link.
func (l *peer) idles() bool {
	return len(l.window) == 0 && l.in.due.IsZero() && !l.judged && !l.queued
}

// linkTo returns the link to a node.
func (r *Router) linkTo(node string) *peer {
	l := r.links[node]
	if l == nil {
		node = strings.Clone(node) // it may be a part of what was received
		l = &peer{node: node, channel: r.keys.Channel(node)}
		l.in = inlink{link: r.floor, expected: 1}
		l.restart(r)
		r.links[node] = l
	}
	l.used = r.now()
	return l
}

// push puts an item into the link's window, from where the next batch takes it.
// A full window is the caller's to answer: nothing is queued beyond it.
func (l *peer) push(r *Router, it item) bool {
	if len(l.window) >= link.MaxWindow {
		return false
	}
	l.bytes += it.size
	if it.awaited = it.cargo.awaited(); it.awaited {
		if l.urgent++; l.urgent == 1 && !l.progress.IsZero() {
			l.progress = r.now() // it was not this one that took so long
			r.schedule(l.progress.Add(l.resend))
		}
	}
	full := len(l.window) == cap(l.window)
	l.window = append(l.window, it)
	if full {
		l.room = l.window
	}
	r.dirty(l)
	return true
}

func (l *peer) end() uint64 { return l.base + uint64(len(l.window)) }

// dirty has whoever publishes look at l, unless a judge holds it.
func (r *Router) dirty(l *peer) {
	if l.queued || l.judged {
		return
	}
	l.queued = true
	r.outgoing = append(r.outgoing, l)
}

// restart forgets what was sent. The peer sees a new life of the link and takes its
// numbers from the start; what was received stays.
func (l *peer) restart(r *Router) {
	l.id, l.base, l.next, l.high, l.sent = r.nextLife(), 1, 1, 1, 1
	l.window, l.room, l.bytes, l.urgent = nil, nil, 0, 0
	l.flying, l.budget = 0, maxBudget
	l.progress = time.Time{}
	l.setResend(r, firstResend)
	l.relayed, l.uncounted = false, time.Time{}
}

// batch is one PUBLISH of a link.
type batch struct {
	link  *peer
	id    uint64 // the link's
	first uint64
	high  uint64 // the link's, before this batch
	count int
}

// batch encodes what waits on the link, up to maxBatchBytes or what is left of the budget
// for one message more, with the acknowledgement that is owed. A large message is alone.
func (l *peer) batch(r *Router, payload *[]byte) batch {
	h := r.header()
	h.Life, h.First, h.Base = l.id, l.next, l.base
	if l.in.link != 0 {
		h.Ack = link.Ack{Life: l.in.link, UpTo: l.in.expected - 1, Nacks: l.in.exceptions}
	}
	l.in.due, l.in.unsaid, l.in.unsaidSize = time.Time{}, 0, 0
	out := batch{link: l, id: l.id, first: l.next, high: l.high}
	b := link.AppendHeader(*payload, &h)
	for l.fits(len(b), out.first) {
		it := &l.window[l.next-l.base]
		b = it.encode(b)
		l.flying += it.size
		if l.next < l.high {
			r.m.LinkResends.Inc()
		}
		r.published[it.kind()].Inc()
		l.next++
		out.count++
	}
	l.high = max(l.high, l.next) // the answer may come before PUBLISH's reply
	l.sent = max(l.sent, l.high)
	if out.count > 0 && l.progress.IsZero() {
		l.progress = r.now()
		r.schedule(l.progress.Add(l.patience(r)))
	}
	*payload = b
	return out
}

// published takes the outcome of a batch's PUBLISH.
func (l *peer) published(r *Router, b *batch, receivers int64, err error) {
	if b.id != l.id {
		return // of a former life
	}
	switch {
	case err != nil: // it may have arrived or not: the resend will tell
		if b.count > 0 {
			r.schedule(r.now().Add(l.patience(r)))
		}
	case receivers == 0:
		l.high = min(l.high, b.high)
		for ; l.next > max(l.base, b.first); l.next-- {
			l.flying -= l.window[l.next-1-l.base].size
		}
		if len(l.window) > 0 {
			l.unheard = true
			if l.uncounted.IsZero() {
				l.uncounted = r.now().Add(-bus.ReplyTimeout)
			}
			r.judge(l)
		}
	default:
		l.high = max(l.high, b.first+uint64(b.count))
		l.counted(b)
		if l.mayPublish() {
			r.dirty(l)
		}
	}
}

// acknowledged settles what the peer has taken.
func (l *peer) acknowledged(r *Router, a link.Ack) {
	switch {
	case newerLife(a.Life, l.id):
		l.renew(r, a.Life)
		return
	case a.Life != l.id || a.UpTo < l.base:
		return
	case a.UpTo >= l.sent: // somebody else has used up numbers, or made up the acknowledgement
		l.renew(r, l.id)
		return
	}
	upTo := min(a.UpTo, l.sent-1)
	if upTo >= l.high {
		l.high, l.relayed = upTo+1, true
	}
	exceptions := a.Nacks
	for len(l.window) > 0 && l.base <= upTo {
		f := fateDelivered
		for len(exceptions) > 0 && exceptions[0].Seq <= l.base {
			if exceptions[0].Seq == l.base {
				f = fateOf(exceptions[0].Code)
			}
			exceptions = exceptions[1:]
		}
		l.pop(r, f)
	}
	if len(l.window) == 0 {
		l.window, l.uncounted = l.room[:0], time.Time{}
	}
	l.next = max(l.next, l.base)
	l.budget = min(2*l.budget, maxBudget)
	if l.mayPublish() {
		r.dirty(l)
	}
	l.progress = time.Time{}
	l.setResend(r, firstResend)
	if l.next > l.base {
		l.progress = r.now()
	}
}

func (l *peer) pop(r *Router, f fate) {
	it := l.window[0]
	l.window[0] = item{}
	l.window = l.window[1:]
	if l.base < l.next {
		l.flying -= it.size
	}
	l.base++
	l.bytes -= it.size
	if it.awaited {
		l.urgent--
	}
	if it.withdrawn && f == fateOverloaded {
		r.overloaded(overloadRedis)
		f = fateNoRoom
	}
	it.cargo.settle(r, it.owner, f)
}

// buried answers everything on the link to a dead node. What was received stays: if
// the node was only away, what it has sent meanwhile must not pass what was refused.
// counted tells whether it had not heard what PUBLISH counted for nobody.
func (l *peer) buried(r *Router, counted bool) {
	known := l.sent
	if counted && !l.relayed {
		known = l.high
	}
	for len(l.window) > 0 {
		f := fateDead
		if l.base < known {
			f = fateUnknown
		}
		l.pop(r, f)
	}
	l.restart(r)
	l.setJudged(r, false)
	l.unheard = false
	r.dirty(l) // an acknowledgement may be due
}
