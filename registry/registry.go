package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Errors that callers branch on.
var (
	// ErrHeld says that another session holds the address, under Reject.
	ErrHeld = errors.New("address is held by another session")
	// ErrUnsettled says that Redis may have lost data, and that not every node has
	// verified its leases since.
	ErrUnsettled = errors.New("registry is not settled after a loss of data")
)

// Duplicates is the rule for a client that connects while it is connected.
type Duplicates string

// The three rules.
const (
	Allow   Duplicates = "allow"   // several sessions, on any nodes; every one receives
	Replace Duplicates = "replace" // the newest session wins, the older ones are closed
	Reject  Duplicates = "reject"  // the newcomer is refused
)

// Check returns an error that says what is allowed unless d is one of the three rules.
func (d Duplicates) Check() error {
	switch d {
	case Allow, Replace, Reject:
		return nil
	}
	return fmt.Errorf("rule for duplicates is %q, want allow, replace or reject", string(d))
}

// nodeID is what the scripts take for a node's ID.
var nodeID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,160}$`)

// Options configures a Registry.
type Options struct {
	Redis     redis.UniversalClient // required; see redisconn.Connect. A Cluster's client must be unused
	NodeID    string                // this process's, unique for each start; 1 to 160 letters, digits, '.', '_' and '-'; required
	Prefix    string                // of every key and channel; default "beeline"
	Heartbeat time.Duration         // see Timing; default 2 s
	Metrics   *metrics.Registry     // default: kept to itself
	// SubscriberBuffer is how many bytes a subscriber must be able to lag before Redis
	// cuts it off; the log is told if it is fewer. Default 0: Redis is not asked.
	SubscriberBuffer int64
	Logger           *slog.Logger // default: discard
}

// Events is told what the registry found out about leases. Its methods are
// called from the registry's goroutines, OnDataLost and OnLeaseLost from its callers'
// too, and must not block.
type Events interface {
	// OnEvicted says that another session took l under Replace or Reject: l is no
	// longer refreshed and its sessions must be closed.
	OnEvicted(l *Lease)
	// OnRestored says that l's entry was missing and has been written again with
	// the same token, and who else owns the address.
	OnRestored(l *Lease, others []Owner)
	// OnDataLost says that Redis may have lost data: what was known about other
	// owners no longer counts. Until it has returned no lease is verified and
	// nothing is settled.
	OnDataLost()
	// OnLeaseLost says that this node's own lease had ended: other nodes may have taken
	// it for dead, removed its entries, and let clients claim without asking it.
	OnLeaseLost()
}

// Registry is one node's access to the registry. Its methods are safe for
// concurrent use.
type Registry struct {
	// Static after New.
	opts      Options
	keys      Keys
	timing    Timing
	redis     *redisconn.Client
	rdb       redis.UniversalClient // the client that redis is built on
	masters   *masters
	metrics   *metrics.Registry
	log       *slog.Logger
	batcher   *claimBatcher
	refresher *refresher
	stopping  context.Context // ends when Stop begins
	stop      context.CancelCauseFunc
	// countingPeers holds a token while the other nodes are looked at.
	countingPeers chan struct{}
	roundTrip     time.Duration // the longest that one in the background may take

	// Set by Start.
	events         Events
	stopRefreshing context.CancelFunc
	cancel         context.CancelFunc // of everything
	ended          sync.WaitGroup

	tokens     atomic.Uint64 // the last claim's
	allSettled atomic.Bool   // what epochs.allSettled says
	repeating  atomic.Int64  // claims that repeatClaim waits for

	trouble      atomic.Pointer[error]      // that the last claim or beat had; nil: none
	disagreement atomic.Pointer[Difference] // this node yields to; nil: none
	theirSilence atomic.Int64               // of nodes that this one yields to, or may have to: see silence; in ns, 0: of none
	differing    limitedLog                 // of nodes that yield to this one

	mu            sync.Mutex // guards what follows, the leases, and parts of refresher
	wheel         *wheel
	epochs        *epochs
	epochsChanged chan struct{}           // closed, and made anew, at each change of epochs
	barriers      map[string]*readBarrier // by the tag of the master
	overwritten   overwrittenKeys
	// waits ends those of claims that are to be made again.
	waits map[*Lease]context.CancelFunc

	beats struct {
		sync.Mutex
		last      NodeInfo // what Beat wrote
		lastBeat  time.Time
		resumed   time.Time           // this node's first beat after it had missed some
		leaseLost bool                // the lease had ended; the next beat that succeeds tells Events
		announced string              // the epochs that the node lease vouches for
		seen      map[string]lastSeen // all nodes that were listed recently
		count     int                 // of beats that were tried
		since     int64               // this node is in the cluster: Redis' Unix ms; 0: it is not yet
	}
}

// complete checks opts and fills in the defaults.
func (o *Options) complete() error {
	switch {
	case o.Redis == nil:
		return errors.New("registry: Options.Redis is missing")
	case o.NodeID == "":
		return errors.New("registry: Options.NodeID is missing")
	case !nodeID.MatchString(o.NodeID):
		return fmt.Errorf("registry: Options.NodeID is %q, want 1 to 160 letters, digits, '.', '_' and '-'", o.NodeID)
	case o.Heartbeat != 0 && o.Heartbeat < time.Millisecond:
		return fmt.Errorf("registry: Options.Heartbeat is %v, want at least 1ms", o.Heartbeat)
	}
	if o.Prefix == "" {
		o.Prefix = "beeline"
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 2 * time.Second
	}
	if o.Metrics == nil {
		o.Metrics = metrics.New(prometheus.NewRegistry()).Registry
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// New checks opts and returns a registry that does nothing in the background
// until Start.
func New(opts Options) (*Registry, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	r := &Registry{
		opts:          opts,
		keys:          NewKeys(opts.Prefix, opts.Redis),
		timing:        Timing{Heartbeat: opts.Heartbeat},
		roundTrip:     Timing{Heartbeat: opts.Heartbeat}.operation(),
		rdb:           opts.Redis,
		metrics:       opts.Metrics,
		log:           opts.Logger,
		events:        noEvents{},
		countingPeers: make(chan struct{}, 1),
		epochs:        newEpochs(Timing{Heartbeat: opts.Heartbeat}),
		barriers:      make(map[string]*readBarrier),
		epochsChanged: make(chan struct{}),
		waits:         make(map[*Lease]context.CancelFunc),
		overwritten:   overwrittenKeys{waiting: make(map[string]epochOf)},
	}
	r.stopping, r.stop = context.WithCancelCause(context.Background())
	r.redis = redisconn.New(redisconn.Options{
		Redis:   opts.Redis,
		Prefix:  opts.Prefix,
		Scripts: scripts,
		Dials:   opts.Metrics.RedisDials,
		Up:      opts.Metrics.RedisUp,
		Logger:  opts.Logger,
	})
	r.masters = newMasters(r.keys, r.redis)
	r.batcher = newClaimBatcher(r)
	r.refresher, r.wheel = newRefresher(r)
	r.tokens.Store(uint64(rand.Uint32())) // unique for this node, and short
	r.preregister()
	return r, nil
}

// Start starts the registry's goroutines (see the package's comment). It is called once.
// events may be nil.
func (r *Registry) Start(events Events) {
	if events != nil {
		r.events = events
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.ended.Go(func() { r.batcher.loop(ctx) })
	refreshing, stopRefreshing := context.WithCancel(ctx)
	r.stopRefreshing = stopRefreshing
	r.ended.Go(func() { r.refresher.loop(refreshing) })
	r.ended.Go(func() { r.logSettled(refreshing) })
	r.ended.Go(func() { r.redis.Watch(refreshing) })
	if r.opts.SubscriberBuffer > 0 {
		r.ended.Go(func() { r.redis.CheckSubscriberBuffer(refreshing, r.opts.SubscriberBuffer) })
	}
}

// Stop sends what waits in the batcher, stops the goroutines and removes the
// node's lease, in the time that ctx allows. Leases that are still held stay in
// Redis; without the node's lease they count no more.
func (r *Registry) Stop(ctx context.Context) error {
	r.stop(errStopped)
	r.batcher.stop()
	if r.cancel != nil {
		r.stopRefreshing()
		stop := context.AfterFunc(ctx, r.cancel)
		r.ended.Wait()
		stop()
		r.cancel()
	}
	return r.RemoveNode(ctx, r.opts.NodeID)
}

// VerifyLeases verifies all leases at once. The router calls it when another node says
// that it took this one for dead and may have removed its entries.
func (r *Registry) VerifyLeases() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresher.verifyAtOnceLocked()
}

// Keys names this registry's keys and channels.
func (r *Registry) Keys() Keys { return r.keys }

// Timing returns the durations in force.
func (r *Registry) Timing() Timing { return r.timing }

type noEvents struct{}

func (noEvents) OnEvicted(*Lease)           {}
func (noEvents) OnRestored(*Lease, []Owner) {}
func (noEvents) OnDataLost()                {}
func (noEvents) OnLeaseLost()               {}
