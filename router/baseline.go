package router

import (
	"context"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/router/link"
)

// The baselines exist to be compared with: they are what one would build without
// a registry. A message is published once, numbered by nobody; who asked for a
// receipt gets it from the receiving node over its link, and offline from what
// Redis or the registry says after the message was published.

// broadcast publishes every message to one channel that every node hears and
// filters. What gathers during a round trip travels in one PUBLISH.
type broadcast struct {
	r     *Router
	batch []byte
	count int
	asked []*pending
}

// open: the shared channel is subscribed at the start, for all addresses.
func (*broadcast) open(context.Context, string) error { return nil }
func (*broadcast) close(string)                       {}

func (w *broadcast) send(p *pending) {
	if !w.r.room(p) {
		return
	}
	if len(w.batch)+len(p.Data) > link.MaxBatchBytes {
		if full, ok := w.gather(); ok {
			w.r.posts = append(w.r.posts, full)
		}
	}
	if w.count == 0 {
		h := w.r.header()
		w.batch = link.AppendHeader(nil, &h)
	}
	w.batch = p.encode(w.batch, true)
	w.r.published[link.KindMessage].Inc()
	w.count++
	w.r.awaitReceipt(p)
	w.asked = append(w.asked, p)
}

// gather makes the post of what has gathered.
func (w *broadcast) gather() (post, bool) {
	if w.count == 0 {
		return post{}, false
	}
	asked := w.asked
	out := post{channel: w.r.keys.Broadcast(), global: true, payload: w.batch, envelopes: w.count, then: func(_ int64, err error) {
		if err == nil { // else unknown until the deadline
			w.r.awaitReceipts(asked...)
		}
	}}
	w.batch, w.count, w.asked = nil, 0, nil
	return out, true
}

// subscribe keeps a Redis subscription for each local address. PUBLISH itself
// says whether anybody listens, except in a Cluster, where each Redis node
// counts its own subscribers only.
type subscribe struct{ r *Router }

func (w subscribe) open(ctx context.Context, address string) error {
	select {
	case <-w.r.in.sub.Add(ctx, w.r.keys.Client(address)):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.r.stopped:
		return errStopped
	}
}

func (w subscribe) close(address string) {
	channel := w.r.keys.Client(address)
	confirmed := w.r.in.sub.Confirmed(channel)
	w.r.run(func(ctx context.Context) { w.r.in.sub.Remove(ctx, channel, confirmed) })
}

func (w subscribe) send(p *pending) {
	r := w.r
	if !r.room(p) {
		return
	}
	h := r.header()
	payload := p.encode(link.AppendHeader(nil, &h), true)
	r.published[link.KindMessage].Inc()
	r.awaitReceipt(p)
	r.posts = append(r.posts, post{channel: r.keys.Client(p.To), global: true, payload: payload, envelopes: 1, then: func(n int64, err error) {
		switch {
		case err != nil: // unknown until the deadline
		case n == 0:
			p.conclude(r, Offline)
		default:
			r.awaitReceipts(p)
		}
	}})
}

// room tells whether a baseline's message may be queued: not without a connection,
// because it would be sent long after it met its deadline, nor beyond
// MaxPendingBytes. Else it is overloaded.
func (r *Router) room(p *pending) bool {
	if r.bus.Blocked() > 0 || r.posted+len(p.Data) > r.opts.MaxPendingBytes {
		p.conclude(r, r.overloaded(overloadRedis))
		return false
	}
	r.posted += len(p.Data)
	return true
}

// receiptTime is how long the receipt of a published message may take before the
// registry is asked whether anybody can have got it.
const receiptTime = 20 * time.Millisecond

// awaitReceipts takes published messages. Of those that nobody asked a receipt for
// nobody will know what became of them; of the others the registry is asked if the
// receipt does not come. It is called with mu held.
func (r *Router) awaitReceipts(published ...*pending) {
	for _, p := range published {
		if !p.Receipt {
			p.conclude(r, Published)
		}
		if p.deadlineNode.in {
			now := r.now()
			r.awaited = append(r.awaited, awaited{p, now})
			r.schedule(now.Add(receiptTime))
		}
	}
}

// awaited is a published message that waits for its receipt.
type awaited struct {
	p     *pending
	since time.Time
}

// overdue looks up the receivers of messages whose receipts did not come in time.
// It is called with mu held.
func (r *Router) overdue(now time.Time) {
	var late []*pending
	n := 0
	for ; n < len(r.awaited) && now.Sub(r.awaited[n].since) >= receiptTime; n++ {
		late = append(late, r.awaited[n].p)
	}
	if r.awaited = slices.Delete(r.awaited, 0, n); len(r.awaited) > 0 {
		r.schedule(r.awaited[0].since.Add(receiptTime))
	}
	r.lookUpReceivers(late)
}

// lookUpReceivers finds out which of the published messages without an answer nobody
// can have got, and concludes them. What can't be proved now it asks again. It is called
// with mu held.
func (r *Router) lookUpReceivers(asked []*pending) {
	asked = slices.DeleteFunc(asked, func(p *pending) bool { return !p.deadlineNode.in || p.delivered() })
	if len(asked) == 0 {
		return
	}
	began := r.now()
	r.run(func(ctx context.Context) {
		addresses := make([]string, len(asked))
		for i, p := range asked {
			addresses[i] = p.To
		}
		lookups := r.reg.LookupAll(ctx, addresses)
		var unproved []*pending
		for i, p := range asked {
			owners, err := lookups[i].Owners, lookups[i].Err
			if len(owners) > 0 {
				continue
			}
			settled := false
			if err == nil {
				settled, err = r.settled(ctx, p.To, began)
			}
			if err != nil || !settled {
				unproved = append(unproved, p)
				continue
			}
			r.mu.Lock()
			if p.deadlineNode.in && !p.delivered() {
				p.conclude(r, Offline)
			}
			r.unlock()
		}
		r.mu.Lock()
		for _, p := range unproved {
			r.awaited = append(r.awaited, awaited{p, r.now()})
		}
		r.schedule(r.now().Add(receiptTime))
		r.unlock()
	})
}
