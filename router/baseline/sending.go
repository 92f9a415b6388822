package baseline

import (
	"time"

	"github.com/beeline-ws/beeline/router"
)

// maxPending bounds the messages without an outcome, whatever their size.
const maxPending = 1 << 18

// Send takes m to the sessions of m.To. It does not block and keeps nothing of m. Messages
// that one goroutine sends to one address arrive in that order. done, if not nil, is called
// exactly once with the message's ID and outcome, from a goroutine of the router or before Send
// returns, and must not block. What Send queues leaves with the next Flush.
//
// A message is Overloaded at once while nothing can be published, and if the messages without
// outcome would have more than MaxPendingBytes, or be more than 262,144.
func (r *Router) Send(m router.Message, done func(router.MessageID, router.Outcome)) {
	r.counts.messageBytes.Observe(float64(len(m.Data)))
	m.ID = router.MessageID{Origin: r.origin, Count: r.last.Add(1)}
	if router.CheckAddress(m.To) != nil || router.CheckClient(m.From) != nil {
		r.refuse(&m, router.Rejected, done)
		return
	}
	r.mu.Lock()
	refused := router.Timeout
	why := r.whyOverloadedLocked(len(m.Data))
	if !r.mu.stopped && why == "" {
		s := r.mu.add(m, done, time.Now())
		r.mu.queue = append(r.mu.queue, s)
		r.armLocked()
		r.mu.Unlock()
		return
	}
	if !r.mu.stopped {
		refused = r.counts.overloaded(why)
	}
	r.mu.Unlock()
	r.refuse(&m, refused, done)
}

// Flush publishes what Send has queued. Whoever calls Send calls it once after each batch of
// messages; it does not block.
func (r *Router) Flush() {
	r.mu.Lock()
	queued := len(r.mu.queue) > 0 || !r.mu.replies.empty()
	r.mu.Unlock()
	if queued {
		signal(r.due)
	}
}

// refuse answers a message that was not accepted.
func (r *Router) refuse(m *router.Message, o router.Outcome, done func(router.MessageID, router.Outcome)) {
	r.counts.outcome(o, 0)
	if done != nil {
		done(m.ID, o)
	}
}

// whyOverloadedLocked says why a message of that size has no room, or nothing.
func (r *Router) whyOverloadedLocked(size int) string {
	switch {
	case !r.mu.blockedSince.IsZero():
		return overloadRedis
	case len(r.mu.queue) >= maxPending || r.mu.pending.count >= maxPending || r.mu.pending.bytes+size > r.opts.MaxPendingBytes:
		return overloadPending
	}
	return ""
}
