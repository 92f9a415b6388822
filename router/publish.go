package router

import (
	"errors"
	"sync"

	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

// The router is the source of its bus: it makes batches of what waits on the links when the
// bus can take them, and takes what became of each.

// publishing is what it needs for that.
type publishing struct {
	mu      sync.Mutex
	signer  *link.Signer
	scratch []byte
	waiting []*peer // room for those with something to publish
	unused  []*post // for the next
	put     int     // batches given to the bus
}

// post is a batch that the bus has, and gives back with the result.
type post struct {
	to    *peer
	batch link.Batch
}

// maxUnusedPosts bounds the posts that are kept for later ones.
const maxUnusedPosts = 1 << 10

func (x *publishing) newPostLocked(to *peer, b link.Batch) *post {
	p := new(post)
	if n := len(x.unused); n > 0 {
		p, x.unused = x.unused[n-1], x.unused[:n-1]
	}
	p.to, p.batch = to, b
	return p
}

// reuseLocked keeps a post whose result was taken.
func (x *publishing) reuseLocked(p *post) {
	*p = post{}
	if len(x.unused) < maxUnusedPosts {
		x.unused = append(x.unused, p)
	}
}

// Batches gives the bus what is to be published: see bus.Source. Payloads are only lent.
func (r *Router) Batches(out bus.Outlet) (more bool) {
	x := &r.publishing
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.put
	waiting := r.peers.takeOutgoing(x.waiting)
	rest := waiting[:0]
	for _, p := range waiting {
		if !out.Ready(p.channel) || r.putLocked(out, p) {
			rest = append(rest, p)
		}
	}
	r.peers.putBack(rest)
	clear(waiting)
	x.waiting = waiting[:0]
	if cap(x.scratch) > maxScratch {
		x.scratch = nil
	}
	if n := x.put - before; n > 0 {
		r.m.CommitCommands.Observe(float64(n))
	}
	return r.peers.publishes()
}

// putLocked gives the bus the next batch of a link, if it has one, and reports whether it has
// more.
func (r *Router) putLocked(out bus.Outlet, to *peer) (more bool) {
	x := &r.publishing
	payload, b, ok, more := to.batch(r, x.scratch[:0])
	if !ok {
		return false
	}
	x.scratch = payload
	x.signer.Sign(to.channel, payload)
	r.countPost(b.Count, len(payload))
	x.put++
	out.Put(bus.Publication{Channel: to.channel, Payload: payload, Tag: x.newPostLocked(to, b)})
	return more
}

// batch appends the next batch of the link to b, if it has one. more reports whether there
// is another one behind it.
func (p *peer) batch(r *Router, b []byte) (payload []byte, out link.Batch, ok, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queued = false
	if !p.link.Ready() {
		return b, out, false, false
	}
	payload, out, counts := p.link.Batch(r.now(), r.header(), b)
	for kind, n := range counts.Kinds {
		if n > 0 {
			r.published[kind].Add(float64(n))
		}
	}
	if counts.Resent > 0 {
		r.m.LinkResends.Add(float64(counts.Resent))
	}
	p.scheduleLocked(r)
	p.queued = p.link.Ready()
	return payload, out, true, p.queued
}

// maxScratch is how much room for batches is kept, in bytes.
const maxScratch = 256 << 10

func (r *Router) countPost(envelopes, size int) {
	r.m.Publishes.Inc()
	r.m.PublishedBytes.Add(float64(size))
	if envelopes == 0 {
		r.m.Acknowledgements.Inc()
		return
	}
	r.m.BatchEnvelopes.Observe(float64(envelopes))
}

// Published takes what became of batches: see bus.Source.
func (r *Router) Published(results []bus.Result) {
	for i := range results {
		if p, ok := results[i].Tag.(*post); ok {
			p.to.published(r, &p.batch, results[i].Receivers, results[i].Err)
		}
	}
	r.publishing.mu.Lock()
	for i := range results {
		if p, ok := results[i].Tag.(*post); ok {
			r.publishing.reuseLocked(p)
		}
	}
	r.publishing.mu.Unlock()
	r.flush()
}

// published takes the result of a batch. If its connection was lost, what is not acknowledged
// is published again at once when there is another.
func (p *peer) published(r *Router, b *link.Batch, receivers int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link.Published(r.now(), b, receivers, err != nil)
	if errors.Is(err, bus.ErrLost) || errors.Is(err, bus.ErrMoved) {
		p.link.GoBack()
	}
	p.changedLocked(r)
}

// flush has the bus publish what is due, and shows what is pending. It is called without a
// lock.
func (r *Router) flush() {
	r.m.PendingMessages.Set(float64(r.room.messages.Load()))
	r.m.PendingBytes.Set(float64(r.room.bytes.Load()))
	if r.peers.publishes() {
		r.bus.Flush()
	}
}
