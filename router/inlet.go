package router

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/task"
)

// inlet subscribes the channel on which this node takes messages of external
// publishers. It has a connection of its own: Redis cuts a subscriber that reads more
// slowly than others publish, and that must not be the one that nodes rely on.
type inlet struct {
	r        *Router
	channel  string
	outcomes [outcomes]prometheus.Counter

	// The receiving goroutine's.
	refusedSaid time.Time // when a refusal was logged last
	lostSaid    time.Time // a loss was logged last

	flush task.Signal // there is something that was sent to publish
	due   task.Signal // there are receipts to publish

	sub bus.Subscription

	// mu is taken by the goroutine that concludes a message, and never held over a wait.
	mu            sync.Mutex
	inFlight      int // messages without outcome
	inFlightBytes int // of their data
	receipts      []receipt
}

func newInlet(r *Router) *inlet {
	in := &inlet{
		r: r, channel: r.keys.Inlet(r.opts.NodeID),
		flush: r.runtime.NewSignal(), due: r.runtime.NewSignal(),
	}
	in.sub = r.bus.Subscribe(in.channel, in)
	return in
}

// start starts the goroutines, which end with the router's.
func (in *inlet) start() {
	for _, f := range []func(context.Context){in.sub.Run, in.runFlusher, in.runReceipts, in.watch} {
		in.r.run(f)
	}
}

// Received takes one payload: see bus.Listener.
func (in *inlet) Received(_, payload string) {
	in.take(payload)
	in.flush.Set()
}

// Subscribed does nothing: who publishes to the channel sees whether a node hears it.
func (*inlet) Subscribed() {}

// Unsubscribed logs why nothing can be taken: see bus.Listener.
func (in *inlet) Unsubscribed(why error) {
	if why != nil {
		in.lost(why)
	}
}

// lost logs why nothing can be taken, now and then: whoever may publish can have Redis cut the
// subscription.
func (in *inlet) lost(err error) {
	level := slog.LevelWarn
	now := in.r.now()
	if now.Sub(in.lostSaid) < sayEvery {
		level = slog.LevelDebug
	}
	if level == slog.LevelWarn {
		in.lostSaid = now
	}
	in.r.log.Log(in.r.ctx, level, "external publishers are not heard", "channel", in.channel, "error", err)
}

// runFlusher publishes what was sent. While it does, more may gather for the next time.
func (in *inlet) runFlusher(ctx context.Context) {
	for in.flush.Wait(ctx) == nil {
		in.r.Flush()
	}
}

// watch looks once a heartbeat whether the connection is silent, which makes it anew.
func (in *inlet) watch(ctx context.Context) {
	for in.r.runtime.Sleep(ctx, in.r.reg.Timing().Heartbeat) == nil {
		in.sub.Check(ctx)
	}
}
