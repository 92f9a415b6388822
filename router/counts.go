package router

import (
	"time"

	"github.com/beeline-ws/beeline/router/link"
)

// path is how a message was routed: a metric label.
type path uint8

const (
	pathLocal path = iota
	pathRemote

	paths = iota
)

var pathNames = [paths]string{"local", "remote"}

// staleReason is why an owner from the registry was not the owner.
type staleReason uint8

const (
	staleMoved staleReason = iota
	staleJoining
	staleDead
	staleCached

	staleReasons = iota
)

var staleNames = [staleReasons]string{"moved", "joining", "dead", "cached"}

// countFromZero looks every counter of a closed set up, so that it is exported
// before it first counts.
func (r *Router) countFromZero() {
	r.m.PendingMessagesLimit.Set(maxPending)
	r.m.PendingBytesLimit.Set(float64(r.opts.MaxPendingBytes))
	for p, path := range pathNames {
		for o, outcome := range outcomeNames {
			r.outcomes[o][p] = r.m.Messages.WithLabelValues(outcome, path)
		}
		r.delivery[p] = r.m.DeliverySeconds.WithLabelValues(path)
	}
	for o, outcome := range outcomeNames {
		r.outcomeTimes[o] = r.m.OutcomeSeconds.WithLabelValues(outcome)
	}
	for i, reason := range staleNames {
		r.stale[i] = r.m.StaleOwners.WithLabelValues(reason)
	}
	for i, outcome := range outcomeNames {
		if r.inlet != nil {
			r.inlet.outcomes[i] = r.m.ExternalMessages.WithLabelValues(outcome)
		}
	}
	for _, result := range []string{receiptPublished, receiptFailed, receiptDropped} {
		r.m.ExternalReceipts.WithLabelValues(result)
	}
	for i, reason := range dropNames {
		r.drops[i] = r.m.DroppedEnvelopes.WithLabelValues(reason)
	}
	for i, reason := range overloadNames {
		if i > int(roomy) {
			r.overload[i] = r.m.Overloaded.WithLabelValues(reason)
		}
	}
	for i := range link.Kinds {
		kind := link.Kind(i).String()
		r.received[i] = r.m.EnvelopesReceived.WithLabelValues(kind)
		r.published[i] = r.m.EnvelopesPublished.WithLabelValues(kind)
	}
}

// countOutcome counts an outcome, and how long its sender waited for it.
func (r *Router) countOutcome(o Outcome, by path, took time.Duration) {
	r.outcomes[o][by].Inc()
	r.outcomeTimes[o].Observe(took.Seconds())
}
