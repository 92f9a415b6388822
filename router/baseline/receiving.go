package baseline

import (
	"errors"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// handle takes one payload: a batch. It is called by the subscription's goroutine.
func (r *Router) handle(payload string) {
	h, frames, err := readHeader(payload)
	switch {
	case errors.Is(err, errVersion):
		r.counts.dropped(dropVersion)
		return
	case err != nil:
		r.counts.dropped(dropMalformed)
		return
	}
	now := time.Now()
	answered := false
	r.opts.Gather(true)
	for frames != "" {
		k, body, rest, ok := readFrame(frames)
		if !ok {
			r.counts.dropped(dropMalformed)
			break
		}
		frames = rest
		answered = r.handleFrame(&h, k, body, now) || answered
	}
	r.opts.Gather(false)
	if answered {
		r.Flush()
	}
}

// handleFrame acts on a frame, and reports whether something may be to be told to its node.
func (r *Router) handleFrame(h *header, k kind, body string, now time.Time) (answered bool) {
	if k >= kinds {
		r.counts.dropped(dropUnknownKind)
		return false
	}
	r.counts.received[k].Inc()
	if k == kindMessage {
		return r.handleMessage(h, body, now)
	}
	var x receipt
	if !x.read(body) {
		r.counts.dropped(dropMalformed)
		return false
	}
	r.take(&x)
	return false
}

// handleMessage leaves a message with the sessions of its receiver.
func (r *Router) handleMessage(h *header, body string, now time.Time) (answered bool) {
	to, rest, ok := readTo(body)
	if !ok {
		r.counts.dropped(dropMalformed)
		return false
	}
	sessions := r.sessions.of(to)
	if len(sessions) == 0 {
		r.counts.wasted.Inc()
		return false
	}
	a := &r.arrival
	*a = arrival{}
	a.To = to
	if !a.read(rest, h.origin) {
		r.counts.dropped(dropMalformed)
		return false
	}
	if a.Confirm {
		r.mu.Lock()
		r.mu.replies.cameFrom(h.node, h.origin)
		r.mu.Unlock()
	}
	o := deliver(sessions, &a.Message)
	if o == router.Delivered {
		r.counts.delivered.Observe(now.Sub(time.UnixMicro(a.accepted)).Seconds())
	}
	if !a.Receipt || o == router.Offline { // another node may have it
		return false
	}
	r.answer(h.node, a, o)
	return true
}

// deliver asks every session. One that has the message is enough.
func deliver(sessions []router.Session, m *router.Message) router.Outcome {
	o := router.Offline // all are closing
	for _, s := range sessions {
		switch s.Deliver(m) {
		case router.Delivered:
			o = router.Delivered
		case router.Overloaded:
			if o != router.Delivered {
				o = router.Overloaded
			}
		}
	}
	return o
}
