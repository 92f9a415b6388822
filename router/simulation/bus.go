package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/router/bus"
)

// simBus is a host's bus.Bus.
type simBus struct {
	host   *host
	source bus.Source

	publishing *conn // nil: there is none
	over       *signal
	blocked    time.Duration // since when there is no connection; -1: there is one
	anew       time.Duration // the last ResetPublishing that did something

	flushing, again bool
	unanswered      []*publication
	results         []bus.Result
	watch           *event // that replies are overdue
	look            *event // for replies
	ended           bool
}

// publication is a batch on its way.
type publication struct {
	tag      any
	sent     time.Duration
	answered bool
}

const (
	firstRetry    = 10 * time.Millisecond
	lastRetry     = 250 * time.Millisecond
	replyTimeout  = bus.ReplyTimeout
	resetInterval = time.Second
	maxUnanswered = 256
)

func newBus(h *host, source bus.Source) *simBus {
	b := &simBus{host: h, source: source, over: newSignal(h.world), blocked: h.world.now}
	b.watch, b.look = &event{index: -1}, &event{index: -1}
	b.watch.do = func() { h.start(b.overdue) }
	b.look.do = func() { h.start(b.Flush) }
	return b
}

// Run keeps the connection that publishes.
func (b *simBus) Run(ctx context.Context) {
	for delay := firstRetry; ctx.Err() == nil; delay = min(2*delay, lastRetry) {
		if c, err := b.host.dial(ctx); err == nil {
			delay = firstRetry
			b.open(c)
			if b.over.Wait(ctx) != nil {
				break
			}
		}
		_ = b.host.runtime.Sleep(ctx, delay)
	}
	b.ended = true
	b.drop(context.Canceled)
	b.Flush()
}

func (b *simBus) open(c *conn) {
	b.publishing, b.blocked = c, -1
	b.over.set = false
	c.onEnd(func(why error) {
		b.lose(c, why)
		b.host.start(b.Flush)
	})
	b.Flush()
}

// lose notes that the connection has ended.
func (b *simBus) lose(c *conn, why error) {
	if b.publishing != c {
		return
	}
	b.publishing, b.blocked = nil, b.host.world.now
	for _, p := range b.unanswered {
		b.results = append(b.results, bus.Result{Tag: p.tag, Err: fmt.Errorf("%w: %w", bus.ErrLost, why)})
	}
	b.unanswered = nil
	b.over.Set()
}

func (b *simBus) drop(why error) {
	if c := b.publishing; c != nil {
		b.lose(c, why)
		c.close()
	}
}

// overdue ends a connection on which a reply is.
func (b *simBus) overdue() {
	if len(b.unanswered) == 0 {
		return
	}
	if age := b.host.world.now - b.unanswered[0].sent; age < replyTimeout {
		b.host.world.set(b.watch, replyTimeout-age)
		return
	}
	b.drop(errTimeout)
	b.Flush()
}

// Flush exchanges batches and results with the source. Where others could run, they may do
// so: somebody else could be flushing.
func (b *simBus) Flush() {
	if b.host.dead {
		return
	}
	if b.host.world.chance.IntN(8) == 0 {
		b.host.world.preempt()
	}
	if b.flushing {
		b.again = true
		return
	}
	b.flushing = true
	for more := true; more || b.again || len(b.results) > 0; {
		b.again = false
		more = b.exchange()
	}
	b.flushing = false
}

func (b *simBus) exchange() (more bool) {
	if results := b.results; len(results) > 0 {
		b.results = nil
		b.source.Published(results)
	}
	if b.publishing == nil || len(b.unanswered) >= maxUnanswered || b.ended {
		return false
	}
	before := len(b.unanswered)
	more = b.source.Batches((*outlet)(b))
	return more && len(b.unanswered) > before
}

// outlet is the bus as its source sees it.
type outlet simBus

func (o *outlet) Ready(string) bool {
	return o.publishing != nil && len(o.unanswered) < maxUnanswered
}

func (o *outlet) Put(p bus.Publication) { (*simBus)(o).put(p) }

func (b *simBus) put(p bus.Publication) {
	c, h := b.publishing, b.host
	x := &publication{tag: p.Tag, sent: h.world.now}
	b.unanswered = append(b.unanswered, x)
	if b.watch.index < 0 {
		h.world.set(b.watch, replyTimeout)
	}
	channel, payload := p.Channel, string(p.Payload)
	c.send(toServer, func() {
		if h.cluster.moved(c.server, channel) {
			c.send(toHost, func() { b.answered(c, x, 0, bus.ErrMoved) })
			return
		}
		n := c.server.publish(channel, payload)
		c.send(toHost, func() { b.answered(c, x, n, nil) })
	})
}

// answered takes a reply, which wakes nobody: it is seen at the next flush, or when
// somebody looks.
func (b *simBus) answered(c *conn, x *publication, receivers int64, err error) {
	if b.publishing != c || x.answered {
		return
	}
	x.answered = true
	b.unanswered = slices.DeleteFunc(b.unanswered, func(p *publication) bool { return p == x })
	b.results = append(b.results, bus.Result{Tag: x.tag, Receivers: receivers, Err: err})
	if b.look.index < 0 {
		b.host.world.set(b.look, time.Duration(b.host.world.chance.Int64N(int64(3*time.Millisecond))))
	}
}

// Drain publishes what is left, if it can.
func (b *simBus) Drain(ctx context.Context) {
	c, err := b.host.dial(ctx)
	if err != nil {
		return
	}
	b.ended = false
	b.open(c)
	for len(b.unanswered) > 0 && ctx.Err() == nil {
		_ = b.host.runtime.Sleep(ctx, time.Millisecond)
		b.Flush()
	}
	b.ended = true
	b.drop(context.Canceled)
	b.Flush()
}

// Publish publishes by way of the pool.
func (b *simBus) Publish(ctx context.Context, p bus.Publication) (receivers int64, err error) {
	channel, payload := p.Channel, string(p.Payload)
	err = b.host.call(ctx, func(s *server) error {
		if b.host.cluster.moved(s, channel) {
			return errMoved
		}
		receivers = s.publish(channel, payload)
		return nil
	})
	return receivers, err
}

var errMoved = errors.New("MOVED")

// PublishAll publishes one after the other.
func (b *simBus) PublishAll(ctx context.Context, all []bus.Publication) []bus.Result {
	results := make([]bus.Result, len(all))
	for i, p := range all {
		n, err := b.Publish(ctx, p)
		results[i] = bus.Result{Tag: p.Tag, Receivers: n, Err: err}
	}
	return results
}

// ResetPublishing makes the connection anew.
func (b *simBus) ResetPublishing(_ string, why error) {
	now := b.host.world.now
	if b.publishing != nil && now-b.anew >= resetInterval {
		b.anew = now
		b.drop(why)
	}
	b.Flush()
}

// Reset makes all connections anew.
func (b *simBus) Reset(_ context.Context, _ string, since time.Time, _ error) {
	b.host.redial(since)
}

// Blocked returns for how long nothing can be published.
func (b *simBus) Blocked() time.Duration {
	if b.blocked < 0 {
		return 0
	}
	return max(b.host.world.now-b.blocked, 1)
}

// Subscribe returns a subscription.
func (b *simBus) Subscribe(channel string, l bus.Listener) bus.Subscription {
	return &subscription{host: b.host, channel: channel, listener: l, some: newSignal(b.host.world)}
}
