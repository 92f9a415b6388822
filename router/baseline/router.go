package baseline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router"
)

// Options configures a Router.
type Options struct {
	NodeID          string
	URL             string // shown to people who look at the list of nodes
	Version         string
	Redis           redis.UniversalClient
	Registry        *registry.Registry  // for the node lease; started and stopped by the router
	Delivery        router.Delivery     // router.Broadcast or router.Subscribe
	Duplicates      registry.Duplicates // default and only choice registry.Allow
	MessageTimeout  time.Duration       // a message's deadline; default 5 s
	MaxPendingBytes int                 // payload bytes without outcome; default 64 MiB
	// MaxClientSessions is how many sessions an address has here at most; default 0, no
	// limit.
	MaxClientSessions int
	Gather            func(on bool)   // told before the messages of a batch are delivered here, and behind; default: nothing
	Metrics           *metrics.Router // required
	Logger            *slog.Logger    // default: discard
}

// setDefaults fills in what the caller left out, and says what can't be.
func (o *Options) setDefaults() error {
	o.Duplicates = cmp.Or(o.Duplicates, registry.Allow)
	o.MessageTimeout = cmp.Or(o.MessageTimeout, 5*time.Second)
	o.MaxPendingBytes = cmp.Or(o.MaxPendingBytes, 64<<20)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Gather == nil {
		o.Gather = func(bool) {}
	}
	switch {
	case o.NodeID == "" || o.Redis == nil || o.Registry == nil || o.Metrics == nil:
		return errors.New("baseline: NodeID, Redis, Registry and Metrics are required")
	case o.Delivery != router.Broadcast && o.Delivery != router.Subscribe:
		return fmt.Errorf("baseline: delivery %q; allowed are %s and %s", o.Delivery, router.Broadcast, router.Subscribe)
	case o.Duplicates != registry.Allow:
		return fmt.Errorf("baseline: duplicates %q under delivery %s: nobody knows where else a client is connected; allowed is %s",
			o.Duplicates, o.Delivery, registry.Allow)
	}
	return nil
}

// Router takes messages from this node's sessions to their receivers' nodes by Pub/Sub, and
// hands what arrives to this node's sessions.
type Router struct {
	opts    Options
	keys    registry.Keys
	reg     *registry.Registry
	log     *slog.Logger
	counts  *counts
	started time.Time
	origin  uint64 // of this process's message IDs
	sharded bool   // a Cluster: PUBLISH does not count all who hear it

	last       atomic.Uint64 // message's count
	draining   atomic.Bool
	leaseUntil atomic.Int64 // ns after started; this node's lease can't have ended before

	sessions     *sessions
	subscription *subscription
	arrival      arrival       // the message in hand, of the subscription's goroutine
	publisher    publisher     // of the publisher's goroutine
	due          chan struct{} // signals the publisher that something is queued
	sweep        chan struct{} // signals the sweeper that something waits

	mu struct {
		sync.Mutex
		pending
		queue        []*sent // to be published
		replies      replies
		blockedSince time.Time // nothing can be published; zero: it can
		sweeping     bool      // the sweeper will look by itself
		stopped      bool
	}

	ctx    context.Context // ends the goroutines
	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// New checks opts and returns a router that hears nothing until Start.
func New(opts Options) (*Router, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	r := &Router{
		opts: opts, keys: opts.Registry.Keys(), reg: opts.Registry, log: opts.Logger, counts: newCounts(&opts),
		started: time.Now(), origin: rand.Uint64(), sessions: newSessions(),
		due: make(chan struct{}, 1), sweep: make(chan struct{}, 1),
	}
	_, r.sharded = opts.Redis.(*redis.ClusterClient)
	r.mu.pending.waiting = make(map[uint64]*sent)
	r.mu.replies = newReplies()
	r.subscription = newSubscription(r)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Start subscribes this node's channels, writes the node's lease and begins the heartbeat.
// It returns once sessions may join.
func (r *Router) Start(ctx context.Context) error {
	r.log.Info("messages of back ends are not taken", "delivery", r.opts.Delivery)
	r.reg.Start(nil)
	for _, f := range []func(context.Context){r.subscription.run, r.subscription.runChanges, r.runPublisher, r.runSweeper} {
		r.tasks.Go(func() { f(r.ctx) })
	}
	if err := r.firstBeat(ctx); err != nil {
		return fmt.Errorf("baseline: %w", err)
	}
	r.tasks.Go(func() { r.runHeartbeat(r.ctx) })
	return nil
}

// SetDraining tells whoever reads the list of nodes that this one is going.
func (r *Router) SetDraining(ctx context.Context) error {
	r.draining.Store(true)
	return r.reg.Beat(ctx, r.info())
}

// Stop ends the router's goroutines, publishes what is queued, answers what then still waits with
// Timeout, and removes the node's lease, in the time that ctx allows. Sessions should have
// left before.
func (r *Router) Stop(ctx context.Context) error {
	r.draining.Store(true)
	r.cancel()
	r.subscription.reset()
	r.tasks.Wait()
	r.sessions.failJoins(errStopped)
	last, cancel := context.WithTimeout(ctx, lastPublish)
	defer cancel()
	r.publishQueued(last)
	r.mu.Lock()
	r.mu.stopped = true
	ended := r.endAllLocked()
	r.mu.Unlock()
	r.tell(ended)
	return r.reg.Stop(ctx)
}

// lastPublish bounds what Stop still publishes.
const lastPublish = time.Second

var errStopped = errors.New("the router is stopping")

// signal puts a token into a channel of one, unless there is one already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
