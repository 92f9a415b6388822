package baseline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/router"
)

// Labels of package router's series, those of them that a baseline needs. Every message's path is
// remote: Redis carries it also to sessions of this node.
const (
	path = "remote"

	dropMalformed   = "malformed"
	dropVersion     = "version"
	dropUnknownKind = "unknown_kind"

	overloadPending = "pending" // this node's messages without outcome
	overloadRedis   = "redis"   // it is away, or refuses PUBLISH
	overloadQueue   = "queue"   // the receiver's sessions
)

// counts are the series of a router, looked up once.
type counts struct {
	m            *metrics.Router
	outcomes     map[router.Outcome]prometheus.Counter
	times        map[router.Outcome]prometheus.Observer
	messageBytes prometheus.Observer
	delivered    prometheus.Observer
	wasted       prometheus.Counter
	resubscribes prometheus.Counter
	received     [kinds]prometheus.Counter
	published    [kinds]prometheus.Counter
}

func newCounts(o *Options) *counts {
	m := o.Metrics
	c := &counts{
		m: m, outcomes: make(map[router.Outcome]prometheus.Counter), times: make(map[router.Outcome]prometheus.Observer),
		messageBytes: m.MessageBytes, delivered: m.DeliverySeconds.WithLabelValues(path),
		wasted: m.WastedDeliveries, resubscribes: m.Resubscribes,
	}
	m.PendingMessagesLimit.Set(maxPending)
	m.PendingBytesLimit.Set(float64(o.MaxPendingBytes))
	for x := router.Delivered; x <= router.Confirmed; x++ {
		c.outcomes[x] = m.Messages.WithLabelValues(x.String(), path)
		c.times[x] = m.OutcomeSeconds.WithLabelValues(x.String())
	}
	for k, name := range kindNames {
		c.received[k] = m.EnvelopesReceived.WithLabelValues(name)
		c.published[k] = m.EnvelopesPublished.WithLabelValues(name)
	}
	for _, reason := range []string{dropMalformed, dropVersion, dropUnknownKind} {
		m.DroppedEnvelopes.WithLabelValues(reason)
	}
	for _, reason := range []string{overloadPending, overloadRedis, overloadQueue} {
		m.Overloaded.WithLabelValues(reason)
	}
	return c
}

// outcome counts an outcome, and how long its sender waited for it.
func (c *counts) outcome(o router.Outcome, took time.Duration) {
	c.outcomes[o].Inc()
	c.times[o].Observe(took.Seconds())
}

// overloaded counts what had no room, and returns the outcome for it.
func (c *counts) overloaded(reason string) router.Outcome {
	c.m.Overloaded.WithLabelValues(reason).Inc()
	return router.Overloaded
}

func (c *counts) dropped(reason string) { c.m.DroppedEnvelopes.WithLabelValues(reason).Inc() }

// post counts a PUBLISH.
func (c *counts) post(p *post) {
	c.m.Publishes.Inc()
	c.m.PublishedBytes.Add(float64(len(p.payload)))
	c.m.BatchEnvelopes.Observe(float64(p.frames))
	k := kindReceipt
	if len(p.messages) > 0 {
		k = kindMessage
	}
	c.published[k].Add(float64(p.frames))
}

func (c *counts) pipeline(commands int) { c.m.CommitCommands.Observe(float64(commands)) }

func (c *counts) pending(l *pending) {
	c.m.PendingMessages.Set(float64(l.count))
	c.m.PendingBytes.Set(float64(l.bytes))
}

func (c *counts) hears(yes bool) {
	if yes {
		c.m.PrivateChannelHears.Set(1)
		return
	}
	c.m.PrivateChannelHears.Set(0)
}
