package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
)

var (
	errUnsubscribed   = errors.New("this node does not hear its private channel")
	errLeaseExpired   = errors.New("the node's lease has ended: Redis does not answer")
	errPublishBlocked = errors.New("this node can't publish")
	errStopped        = errors.New("the router is stopping")
)

// maxPending bounds the messages without an outcome, whatever their size: see shares.
const maxPending = 1 << 18

// Options configures a Router.
type Options struct {
	NodeID          string
	URL             string // how other nodes reach this one: http://host:port
	Version         string
	Redis           redis.UniversalClient // for the default of Bus alone
	Registry        Registry              // started and stopped by the router
	Prober          Prober                // who is at a node's address; default: HTTP. Closed by the router
	Duplicates      registry.Duplicates   // the same on all nodes; default registry.Allow
	MessageTimeout  time.Duration         // a message's deadline; default 5 s
	MaxPendingBytes int                   // payload bytes without outcome, of which one client or node has half at most; default 64 MiB
	// DuplicatesOf returns the rule for an address, the same on all nodes for the same
	// Duplicates. Default: Duplicates, for every address.
	DuplicatesOf func(address string) registry.Duplicates
	// MaxClientSessions is how many sessions an address has here at most; default 0, no
	// limit.
	MaxClientSessions int
	Grace             time.Duration   // how long a message waits for a receiver that nobody owns; default 0; at most half of MessageTimeout
	OwnerCache        int             // addresses whose owners are cached; default 65,536; negative: none
	Gather            func(on bool)   // told before the messages of a batch are delivered here, and behind; batches may overlap; default: nothing
	Metrics           *metrics.Router // required
	Logger            *slog.Logger    // default: discard
	Runtime           task.Runtime    // time and tasks; default: task.Real
	// Bus makes what carries batches between nodes, for the router as its source. Default:
	// Redis, with the connections of Registry, which is a *registry.Registry then.
	Bus func(source bus.Source) (bus.Bus, error)

	// ClusterKeys sign what nodes publish to each other: the first one signs, all of up
	// to two verify. Default: nothing is signed.
	ClusterKeys []ClusterKey
	// ReadExternal reads the JSON of an external publisher (External). It is called by one
	// goroutine and keeps nothing of the payload. Default: the node has no inlet.
	ReadExternal func(payload []byte) External
	// ValidData reports whether a message's data is what sessions may pass on. It is asked
	// about what others than nodes can have published. Default: JSON in UTF-8.
	ValidData func([]byte) bool

	intercept func(bus.Conn) bus.Conn // tests put themselves between the bus and Redis
	// subscribing is called to subscribe a channel: tests put it off.
	subscribing func(channel string, subscribe func())
	lazyAck     time.Duration // how long an acknowledgement that nobody waits for may take; tests choose it
}

// Router takes messages from this node's sessions to their receivers' nodes,
// and hands what arrives for this node to its sessions.
type Router struct {
	opts    Options
	keys    registry.Keys
	reg     Registry
	runtime task.Runtime
	m       *metrics.Router
	log     *slog.Logger
	started time.Time
	lives   *link.Lives   // of the links to peers
	lazyAck time.Duration // how long an acknowledgement that nobody waits for may take
	origin  uint64        // of this process's message IDs

	outcomes     [outcomes][paths]prometheus.Counter
	delivery     [paths]prometheus.Observer
	outcomeTimes [outcomes]prometheus.Observer
	stale        [staleReasons]prometheus.Counter
	drops        [dropReasons]prometheus.Counter
	overload     [overloads]prometheus.Counter // none for roomy
	received     [link.Kinds]prometheus.Counter
	published    [link.Kinds]prometheus.Counter

	generation generation
	local      *localAddresses
	fan        *fanouts
	in         *inbox
	inlet      *inlet // nil without ReadExternal
	bus        bus.Bus
	lookups    *lookupBatcher
	peers      *peers

	publishing publishing

	count        atomic.Uint64 // of messages
	isSubscribed atomic.Bool   // this node hears its private channel
	draining     atomic.Bool
	leaseUntil   atomic.Int64 // ns after started; this node's lease can't have ended before
	namesake     atomic.Pointer[NamesakeError]

	awaitedProbe atomic.Uint64
	heardProbe   atomic.Uint64 // the last one that was awaited and came

	leaseTurn task.Signal // set while nobody refreshes the lease: orders what it says
	probed    task.Signal // the awaited probe was heard
	beatDue   task.Signal // a heartbeat is due
	prunes    prunes

	shards  shards
	room    *room
	unused  atomic.Int64 // messages that shards keep for the next ones
	timers  *timers
	origins origins
	dedup   *dedup

	ctx     context.Context // ends the goroutines
	cancel  context.CancelFunc
	stopped <-chan struct{}
	tasks   *tasks
}

// New checks opts and returns a router that is not subscribed until Start.
func New(opts Options) (*Router, error) {
	opts.Duplicates = cmp.Or(opts.Duplicates, registry.Allow)
	opts.MessageTimeout = cmp.Or(opts.MessageTimeout, 5*time.Second)
	opts.MaxPendingBytes = cmp.Or(opts.MaxPendingBytes, 64<<20)
	opts.OwnerCache = cmp.Or(opts.OwnerCache, 1<<16)
	opts.Logger = cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))
	if opts.DuplicatesOf == nil {
		rule := opts.Duplicates
		opts.DuplicatesOf = func(string) registry.Duplicates { return rule }
	}
	if opts.Prober == nil {
		opts.Prober = newProber()
	}
	if opts.Runtime == nil {
		opts.Runtime = task.Real{}
	}
	if opts.Gather == nil {
		opts.Gather = func(bool) {}
	}
	if opts.ValidData == nil {
		opts.ValidData = validJSON
	}
	if opts.NodeID == "" || opts.Redis == nil && opts.Bus == nil || opts.Registry == nil || opts.Metrics == nil {
		return nil, errors.New("router: NodeID, Redis or Bus, Registry and Metrics are required")
	}
	if err := opts.Duplicates.Check(); err != nil {
		return nil, fmt.Errorf("router: Options.Duplicates: %w", err)
	}
	if len(opts.ClusterKeys) > maxClusterKeys {
		return nil, fmt.Errorf("router: %d ClusterKeys; allowed are up to %d", len(opts.ClusterKeys), maxClusterKeys)
	}
	for _, key := range opts.ClusterKeys {
		if err := key.check(); err != nil {
			return nil, fmt.Errorf("router: ClusterKeys: %w; want %s", err, ClusterKeyForm)
		}
	}
	if opts.Grace < 0 || opts.Grace > opts.MessageTimeout/2 {
		return nil, fmt.Errorf("router: Grace is %v; allowed are 0 up to half of MessageTimeout, which is %v", opts.Grace, opts.MessageTimeout/2)
	}
	r := &Router{
		opts: opts, keys: opts.Registry.Keys(), reg: opts.Registry, runtime: opts.Runtime, m: opts.Metrics, log: opts.Logger,
		origin: opts.Runtime.Rand(), started: opts.Runtime.Now(),
		lives:   link.NewLives(opts.Runtime.Rand),
		lazyAck: cmp.Or(opts.lazyAck, min(maxLazyAck, opts.MessageTimeout/5)),

		leaseTurn: opts.Runtime.NewSignal(), probed: opts.Runtime.NewSignal(), beatDue: opts.Runtime.NewSignal(),
		prunes: prunes{some: opts.Runtime.NewSignal()}, tasks: newTasks(opts.Runtime),
		dedup: newDedup(opts.Runtime.Now),
	}
	r.publishing.signer = link.NewSigner(opts.ClusterKeys)
	r.timers = newTimers(r.runtime)
	r.shards = newShards(r, opts.OwnerCache)
	r.room = newRoom(opts.MaxPendingBytes, len(r.shards))
	r.peers = newPeers(r)
	if opts.Bus == nil {
		opts.Bus = r.redisBus
	}
	var err error
	if r.bus, err = opts.Bus(r); err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r.leaseTurn.Set()
	r.ctx, r.cancel = r.runtime.WithCancel(context.Background())
	r.stopped = r.ctx.Done()
	r.in = newInbox(r)
	r.in.sub = r.bus.Subscribe(r.in.private, r.in)
	r.fan = newFanouts(r)
	r.local = newLocalAddresses(opts.NodeID, &r.generation)
	r.lookups = &lookupBatcher{r: r, some: r.runtime.NewSignal()}
	if opts.ReadExternal != nil {
		r.inlet = newInlet(r)
	}
	r.countFromZero()
	return r, nil
}

// redisBus is the default of Options.Bus.
func (r *Router) redisBus(source bus.Source) (bus.Bus, error) {
	reg, ok := r.reg.(*registry.Registry)
	if !ok {
		return nil, errors.New("a Registry that is not a *registry.Registry needs a Bus")
	}
	return bus.New(bus.Options{
		Redis: r.opts.Redis, Connections: reg.Redis(), Source: source, Home: r.keys.Channel(r.opts.NodeID), Logger: r.log,
		Intercept: r.opts.intercept, Subscribing: r.opts.subscribing,
	})
}

// Start subscribes the private channel, writes the node's lease and begins the
// heartbeat. It returns once the node may claim.
func (r *Router) Start(ctx context.Context) error {
	r.reg.Start(r)
	r.run(r.in.sub.Run)
	r.run(r.lookups.run)
	r.run(r.bus.Run)
	r.run(func(ctx context.Context) { r.timers.run(ctx, r.flush) })
	r.run(r.runPruner)
	if err := r.firstBeat(ctx); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	if err := r.findNamesake(ctx); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	r.run(r.runHeartbeat)
	r.run(r.watchNamesake)
	if r.inlet != nil {
		r.inlet.start()
	}
	return nil
}

// firstBeat waits until this node hears itself and has its lease.
func (r *Router) firstBeat(ctx context.Context) error {
	for {
		if err := r.beatDue.Wait(ctx); err != nil { // it is due when the private channel is subscribed
			return fmt.Errorf("subscribing the private channel: %w", err)
		}
		err := r.beat(ctx, r.reg.Timing().Heartbeat)
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.log.Debug("first heartbeat failed", "error", err)
		r.in.sub.Reset() // subscribing again brings the next try
	}
}

// SetDraining tells the other nodes that this one is going: a refused
// connection no longer proves that it is dead.
func (r *Router) SetDraining(ctx context.Context) error {
	r.draining.Store(true)
	return r.refreshLease(ctx)
}

// Stop ends the router's goroutines, acknowledges what has arrived, answers what
// still waits with Timeout, and has the registry release what is still held, in
// the time that ctx allows. Sessions should have left before.
func (r *Router) Stop(ctx context.Context) error {
	r.draining.Store(true)
	r.cancel()
	r.in.sub.Reset() // from here on PUBLISH finds nobody, and senders look again
	if r.inlet != nil {
		r.inlet.sub.Reset()
	}
	r.tasks.wait()
	r.timers.alarm.Stop()
	for _, s := range r.shards {
		s.concludeAll()
	}
	for _, p := range r.peers.all() {
		p.do(r, (*link.Link).AckNow)
	}
	r.lookups.clear() // what they were for has its outcome
	r.flush()
	r.bus.Drain(ctx)
	if r.inlet != nil {
		r.inlet.rest(ctx)
	}
	err := r.reg.Stop(ctx)
	r.opts.Prober.Close()
	return err
}

func (r *Router) now() time.Time { return r.runtime.Now() }
