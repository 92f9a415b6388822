package router

import (
	"errors"

	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

// The router is the source of its bus: it makes batches of what waits on the links when the
// bus can take them, and takes what became of each.

// post is one PUBLISH, of a link's batch.
type post struct {
	channel   string
	payload   []byte
	envelopes int
	to        *peer
	batch     link.Batch
}

// replied takes the result, with mu held.
func (p *post) replied(r *Router, receivers int64, err error) {
	r.batchReplied(p.to, &p.batch, receivers, err)
	if errors.Is(err, bus.ErrLost) || errors.Is(err, bus.ErrMoved) {
		r.goBack(p.to)
	}
}

// maxUnusedPosts bounds the posts that are kept for later ones.
const maxUnusedPosts = 1 << 10

// newPost returns a copy of p that the bus gives back with the result.
func (r *Router) newPost(p *post) *post {
	x := new(post)
	if n := len(r.unusedPosts); n > 0 {
		x, r.unusedPosts = r.unusedPosts[n-1], r.unusedPosts[:n-1]
	}
	*x = *p
	x.payload = nil // it is only lent
	return x
}

// reusePost keeps a post whose result was taken.
func (r *Router) reusePost(p *post) {
	*p = post{}
	if len(r.unusedPosts) < maxUnusedPosts {
		r.unusedPosts = append(r.unusedPosts, p)
	}
}

// hasPosts reports whether anything is to be published.
func (r *Router) hasPosts() bool {
	return len(r.outgoing) > 0
}

// Batches gives the bus what is to be published: see bus.Source. Payloads are only lent.
func (r *Router) Batches(out bus.Outlet) (more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.putPosts
	rest := r.outgoing[:0]
	for _, p := range r.outgoing {
		if !out.Ready(p.channel) || r.putLink(out, p) {
			rest = append(rest, p)
		}
	}
	r.outgoing = rest
	if cap(r.scratch) > maxScratch {
		r.scratch = nil
	}
	if n := r.putPosts - before; n > 0 {
		r.m.CommitCommands.Observe(float64(n))
	}
	return r.hasPosts()
}

// putLink puts the next batch of a link, if it has one, and reports whether it has more.
func (r *Router) putLink(out bus.Outlet, to *peer) (more bool) {
	to.queued = false
	if !to.link.Ready() {
		return false
	}
	payload, b := r.batch(to, r.scratch[:0])
	r.scratch = payload
	r.put(out, &post{channel: to.channel, payload: payload, envelopes: b.Count, to: to, batch: b})
	to.queued = to.link.Ready()
	return to.queued
}

// put signs a post, counts it and gives it to the bus.
func (r *Router) put(out bus.Outlet, p *post) {
	r.signer.Sign(p.channel, p.payload)
	r.countPost(p.envelopes, len(p.payload))
	r.putPosts++
	out.Put(bus.Publication{Channel: p.channel, Payload: p.payload, Tag: r.newPost(p)})
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
	r.mu.Lock()
	defer r.unlock()
	for i := range results {
		p, ok := results[i].Tag.(*post)
		if !ok {
			continue
		}
		p.replied(r, results[i].Receivers, results[i].Err)
		r.reusePost(p)
	}
}

// flushAndRelock has the bus publish what is due. It is called with mu held, and releases it
// meanwhile.
func (r *Router) flushAndRelock() {
	if !r.hasPosts() {
		return
	}
	r.mu.Unlock()
	r.bus.Flush()
	r.mu.Lock()
}
