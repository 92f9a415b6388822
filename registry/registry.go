package registry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/metrics"
)

// Errors that callers branch on.
var (
	// ErrHeld says that another session holds the address, under Reject.
	ErrHeld = errors.New("address is held by another session")
	// ErrUnsettled says that the registry lost data and not every node has
	// verified its leases yet.
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

// Timing holds the durations that follow from the heartbeat interval.
type Timing struct{ Heartbeat time.Duration }

// NodeTTL is the life of a node's lease: three heartbeats, so that two may be
// late or lost before the node counts as dead.
func (t Timing) NodeTTL() time.Duration { return 3 * t.Heartbeat }

// RefreshEvery is the interval in which each lease is refreshed once.
func (t Timing) RefreshEvery() time.Duration { return 15 * t.Heartbeat }

// LeaseTTL is the life of a lease that nobody refreshes: three refresh
// intervals. It collects rubbish; NodeTTL detects failure.
func (t Timing) LeaseTTL() time.Duration { return 3 * t.RefreshEvery() }

// Options configures a Registry.
type Options struct {
	Redis      redis.UniversalClient
	NodeID     string            // this process's, unique for each start
	Prefix     string            // of every key and channel; default "beeline"
	Heartbeat  time.Duration     // default 2 s
	Duplicates Duplicates        // default Allow
	Metrics    *metrics.Registry // required
	Logger     *slog.Logger      // default: discard
}

// Owner is one node's entry for an address.
type Owner struct {
	NodeID string
	Token  string // of the claim that wrote the entry
}

// Events is told what the registry found out about leases. Its methods are
// called from the registry's goroutines and must not block.
type Events interface {
	// Taken says that another session took l under Replace or Reject: l is no
	// longer refreshed and its sessions must be closed.
	Taken(l *Lease)
	// Reclaimed says that l's entry was missing and has been written again with
	// the same token, and who else owns the address.
	Reclaimed(l *Lease, others []Owner)
	// Disturbed says that Redis may have lost data: what was known about other
	// owners no longer counts.
	Disturbed()
}

// Registry is one node's access to the registry. Its methods are safe for
// concurrent use.
type Registry struct{ opts Options }

// New checks opts and returns a registry that does nothing in the background
// until Start.
func New(opts Options) (*Registry, error) { panic("stub") }

// Start starts the committer and the refresher.
func (r *Registry) Start(events Events) { panic("stub") }

// Stop sends what waits in the committer, stops the goroutines and removes the
// node's lease, in the time that ctx allows.
func (r *Registry) Stop(ctx context.Context) error { panic("stub") }

// Keys names this registry's keys and channels.
func (r *Registry) Keys() Keys { panic("stub") }

// Timing returns the durations in force.
func (r *Registry) Timing() Timing { panic("stub") }

// Lease is this node's claim of an address, from Claim until Release. It is
// meant to be embedded by value in what the caller keeps for the address. Its
// zero value is ready for Claim; it must not be copied or claimed twice.
type Lease struct{}

// Address returns what was claimed.
func (l *Lease) Address() string { panic("stub") }

// Token returns the claim's token, unique for each claim.
func (l *Lease) Token() string { panic("stub") }

// Claim makes this node an owner of address and keeps l refreshed until
// Release. It returns the other owners, some of which may be dead; under
// Replace they have been removed already and must be told; under Reject a live
// other owner makes it fail with ErrHeld (dead ones are pruned and claimed
// over). While the registry is not settled it waits, and claims again, so that
// no owner is missed; if ctx ends before, the error wraps ErrUnsettled. On any
// error the entry, if it was written, is released.
func (r *Registry) Claim(ctx context.Context, l *Lease, address string) (others []Owner, err error) {
	panic("stub")
}

// Release stops refreshing l at once and removes its entry soon, if the entry
// still holds l's token. It does not wait for Redis; what can't be sent while
// Redis is away is left to the lease's TTL.
func (r *Registry) Release(l *Lease) { panic("stub") }

// Lookup is an address's owners, on their way in a pipeline.
type Lookup struct{ cmd *redis.MapStringStringCmd }

// QueueLookup adds the lookup of address to pipe. It is one command.
func (r *Registry) QueueLookup(pipe redis.Pipeliner, address string) Lookup { panic("stub") }

// Owners returns what the lookup found once its pipeline was executed, in the
// order of node IDs. Dead nodes' entries may be among them. An empty answer
// proves that nobody owns the address only if Settled says so afterwards.
func (l Lookup) Owners() ([]Owner, error) { panic("stub") }

// Lookup returns the owners of address, as Lookup.Owners does.
func (r *Registry) Lookup(ctx context.Context, address string) ([]Owner, error) { panic("stub") }

// Settled tells whether an empty answer about address proves that nobody owns
// it. It is one command on address's Redis master while all is well.
func (r *Registry) Settled(ctx context.Context, address string) (bool, error) { panic("stub") }

// Undisturbed tells without asking Redis whether the epoch that was last seen is
// settled.
func (r *Registry) Undisturbed() bool { panic("stub") }

// Prune removes those of owners' entries that still hold the given tokens.
func (r *Registry) Prune(ctx context.Context, address string, owners ...Owner) error { panic("stub") }

// NodeInfo is what a node says about itself in its node lease.
type NodeInfo struct {
	ID       string
	URL      string // how others reach it: http://host:port of its client listener
	Version  string
	Started  time.Time
	Sessions int
	Draining bool
}

// Beat writes this node's lease, lists it, and looks at the epoch.
func (r *Registry) Beat(ctx context.Context, info NodeInfo) error { panic("stub") }

// Node returns a node's lease; ok is false if it has none (dead or aged out).
func (r *Registry) Node(ctx context.Context, id string) (info NodeInfo, ok bool, err error) {
	panic("stub")
}

// Nodes returns all live nodes in the order of their IDs, and strikes those off
// the list that have been without a lease for longer than its TTL.
func (r *Registry) Nodes(ctx context.Context) ([]NodeInfo, error) { panic("stub") }

// Bury removes the node lease of a node that was found dead. Its entries are
// pruned by whoever meets them.
func (r *Registry) Bury(ctx context.Context, id string) error { panic("stub") }
