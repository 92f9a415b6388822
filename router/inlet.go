package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

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

	unheard atomic.Bool // no answer came to the last ping

	subscribing sync.Mutex // held while Redis is dialed, which may take seconds; guards sub
	sub         *redis.PubSub

	// mu is taken by whoever tells a message's outcome, and never held while something is
	// waited for.
	mu            sync.Mutex
	inFlight      int // messages without outcome
	inFlightBytes int // of their data
	receipts      []receipt
}

func newInlet(r *Router) *inlet {
	return &inlet{
		r: r, channel: r.keys.Inlet(r.opts.NodeID),
		flush: r.runtime.NewSignal(), due: r.runtime.NewSignal(),
	}
}

// start starts the goroutines, which end with the router's.
func (in *inlet) start() {
	for _, f := range []func(context.Context){in.run, in.runFlusher, in.runReceipts, in.watch} {
		in.r.run(f)
	}
}

// run receives until ctx ends. As for the inbox, Receive has no deadline; watch finds a
// connection that is silent.
func (in *inlet) run(ctx context.Context) {
	for wait := firstResubscribe; ctx.Err() == nil; wait = min(2*wait, lastResubscribe) {
		if in.receive(ctx, in.subscribe(ctx)) {
			wait = firstResubscribe
		}
		in.reset()
		_ = in.r.runtime.Sleep(ctx, wait)
		in.r.in.follow(ctx)
	}
}

func (in *inlet) subscribe(ctx context.Context) *redis.PubSub {
	in.subscribing.Lock()
	defer in.subscribing.Unlock()
	in.unheard.Store(false)
	if in.r.sharded {
		in.sub = in.r.opts.Redis.SSubscribe(ctx, in.channel)
	} else {
		in.sub = in.r.opts.Redis.Subscribe(ctx, in.channel)
	}
	return in.sub
}

// reset closes the subscription, so that run begins a new one.
func (in *inlet) reset() {
	in.subscribing.Lock()
	defer in.subscribing.Unlock()
	if in.sub != nil {
		_ = in.sub.Close()
		in.sub = nil
	}
}

// receive takes what arrives until the connection fails or the channel has moved to
// another master. It reports whether it heard anything.
func (in *inlet) receive(ctx context.Context, sub *redis.PubSub) (heard bool) {
	for {
		event, err := sub.Receive(ctx)
		if err != nil {
			in.lost(ctx, err)
			return heard
		}
		in.unheard.Store(false)
		switch event := event.(type) {
		case *redis.Subscription:
			if strings.HasSuffix(event.Kind, "unsubscribe") {
				return heard
			}
			heard = true
		case *redis.Message:
			in.take(event.Payload)
			in.flush.Set()
		}
	}
}

// lost logs why nothing can be taken, now and then: whoever may publish can have Redis cut the
// subscription.
func (in *inlet) lost(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	level := slog.LevelWarn
	now := in.r.now()
	if now.Sub(in.lostSaid) < sayEvery || errors.Is(err, net.ErrClosed) { // whoever closed the connection has told why
		level = slog.LevelDebug
	}
	if level == slog.LevelWarn {
		in.lostSaid = now
	}
	in.r.log.Log(ctx, level, "external publishers are not heard", "channel", in.channel, "error", err)
}

// runFlusher publishes what was sent. While it does, more may gather for the next time.
func (in *inlet) runFlusher(ctx context.Context) {
	for in.flush.Wait(ctx) == nil {
		in.r.Flush()
	}
}

// watch pings the connection once a heartbeat, and makes it anew if nothing came since
// the last time.
func (in *inlet) watch(ctx context.Context) {
	for in.r.runtime.Sleep(ctx, in.r.reg.Timing().Heartbeat) == nil {
		in.subscribing.Lock()
		sub := in.sub
		in.subscribing.Unlock()
		silent := in.unheard.Swap(true)
		switch {
		case sub == nil:
		case silent:
			in.reset()
		default:
			_ = sub.Ping(ctx) // a failure shows in Receive, or at the next look
		}
	}
}
