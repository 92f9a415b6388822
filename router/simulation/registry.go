package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
)

// simRegistry is a host's router.Registry. It keeps the contract that the documentation of
// package registry states, and forgets what Redis forgets: leases that others replace,
// refuse or restore, epochs that are settled once every node has verified its leases.
type simRegistry struct {
	host   *host
	timing registry.Timing
	events registry.Events

	tokens uint64
	held   []*claim // the leases that are refreshed, in the order of their claims
	ctx    context.Context
	end    context.CancelFunc
	some   *signal // for the claim batcher
	ended  bool

	claims   []*claim
	releases []release
	waits    map[*registry.Lease]context.CancelFunc
	gone     map[*registry.Lease]bool // withdrawn

	epoch    epoch
	changed  []*signal // for those that wait for an epoch to settle
	hasty    bool      // leases are to be verified
	attend   *signal   // for the refresher
	outage   bool
	settling *signal

	last      registry.NodeInfo
	lastBeat  time.Duration // -1: none
	resumed   time.Duration
	leaseLost bool
	announced uint64
	seen      []lastSeen
	refreshed time.Duration
}

// epoch is what a node knows of the epoch of Redis' data.
type epoch struct {
	id                                            uint64
	seen, asked, settled                          time.Duration // settled: -1, it is not
	renewed, outage, unannounced, verified, known bool
	oldEnough                                     bool
}

// lastSeen is what a node remembers of another one for when Redis has lost it.
type lastSeen struct {
	node  string
	lease time.Duration // the end of its lease that was seen last
	until time.Duration // when its lease, or a later one, has ended
}

type release struct {
	address  string
	number   uint64
	doubtful bool
}

func newRegistry(h *host) *simRegistry {
	r := &simRegistry{
		host: h, timing: registry.Timing{Heartbeat: h.cluster.plan.Heartbeat},
		tokens: h.world.chance.Uint64N(1 << 20), some: newSignal(h.world), attend: newSignal(h.world), settling: newSignal(h.world),
		waits: make(map[*registry.Lease]context.CancelFunc), gone: make(map[*registry.Lease]bool), lastBeat: -1,
	}
	r.epoch.settled = -1
	r.settling.Set()
	r.ctx, r.end = h.runtime.WithCancel(context.Background())
	return r
}

func (r *simRegistry) now() time.Duration { return r.host.world.now }

// silence, operation and so on are as in package registry.
func (r *simRegistry) silence() time.Duration { return r.timing.NodeTTL() - r.timing.Heartbeat }
func (r *simRegistry) operation() time.Duration {
	return max(500*time.Millisecond, min(3*time.Second, r.timing.NodeTTL()/2))
}

const (
	settlePause  = 25 * time.Millisecond
	minUptime    = time.Second
	releaseRetry = 250 * time.Millisecond
	verifyRetry  = time.Second
)

var errStopped = errors.New("registry is stopped")

func (r *simRegistry) Start(events registry.Events) {
	r.events = events
	r.host.start(r.runClaimBatcher)
	r.host.start(r.refreshAll)
}

// Stop sends what waits, stops the tasks and removes the node's lease.
func (r *simRegistry) Stop(ctx context.Context) error {
	for (len(r.claims) > 0 || len(r.releases) > 0) && ctx.Err() == nil {
		_ = r.host.runtime.Sleep(ctx, time.Millisecond)
	}
	r.ended = true
	r.end()
	return r.RemoveNode(ctx, r.host.id)
}

func (r *simRegistry) Keys() registry.Keys     { return r.host.cluster.keys }
func (r *simRegistry) Timing() registry.Timing { return r.timing }
func (r *simRegistry) OneMaster() bool         { return true }

// Nothing is told of what works and what does not: the cluster's faults are known.
func (r *simRegistry) MissBeat()                        {}
func (r *simRegistry) Trouble() error                   { return nil }
func (r *simRegistry) Disagreement() error              { return nil }
func (r *simRegistry) Works(redisconn.Activity)         {}
func (r *simRegistry) Failed(redisconn.Activity, error) {}

// call has the master do something, in the time of an operation.
func (r *simRegistry) call(ctx context.Context, do func(s *server) error) error {
	ctx, cancel := r.host.runtime.WithTimeout(ctx, r.operation())
	defer cancel()
	return r.host.call(ctx, do)
}

// Owners.

// LookupAll answers as package registry does: an empty answer is no proof.
func (r *simRegistry) LookupAll(ctx context.Context, addresses []string) []registry.Answer {
	answers := make([]registry.Answer, len(addresses))
	err := r.host.call(ctx, func(s *server) error {
		for i, address := range addresses {
			answers[i] = registry.Answer{Owners: ownersOf(s.data.of(address, r.now()), "")}
			if r.host.cluster.migrating(address) {
				answers[i] = registry.Answer{Err: registry.ErrUnsettled}
			}
		}
		return nil
	})
	if err != nil {
		answers = make([]registry.Answer, len(addresses)) // the call may still be on its way
		for i := range answers {
			answers[i].Err = fmt.Errorf("look up owners: %w", err)
		}
	}
	return answers
}

func ownersOf(entries []entry, but string) (owners []registry.Owner) {
	for _, e := range entries {
		if e.node != but {
			owners = append(owners, registry.Owner{NodeID: e.node, Token: tokenOf(e.token)})
		}
	}
	return owners
}

func tokenOf(number uint64) string {
	l := new(registry.Lease)
	l.Name("", number)
	return l.Token()
}

// Prune removes entries that still hold the given tokens.
func (r *simRegistry) Prune(ctx context.Context, address string, owners ...registry.Owner) error {
	return r.call(ctx, func(s *server) error {
		if s.primary != nil {
			return errReadOnly
		}
		var gone []entry
		for _, e := range s.data.of(address, r.now()) {
			if slices.Contains(owners, registry.Owner{NodeID: e.node, Token: tokenOf(e.token)}) {
				gone = append(gone, e)
			}
		}
		if len(gone) > 0 {
			now := r.now()
			r.host.world.record("%s prunes %s of %v", r.host.id, address, gone)
			s.write(func(d *dataset) { d.remove(address, gone, now) })
		}
		return nil
	})
}

// ConfirmAbsent reports whether the empty answer to a lookup proves that nobody owns the
// address.
func (r *simRegistry) ConfirmAbsent(ctx context.Context, _ string) (bool, error) {
	id, err := r.readEpoch(ctx)
	if err != nil {
		return false, err
	}
	if r.proves(id) {
		return true, nil
	}
	if err := r.settle(ctx); err != nil {
		return false, err
	}
	return r.proves(id), nil
}

func (r *simRegistry) proves(id uint64) bool {
	return r.settledIn(id) && (!r.epoch.renewed || r.now()-r.epoch.settled >= r.timing.Heartbeat/2) &&
		!r.host.cluster.slotsMoved(r.timing.Heartbeat/2)
}

func (r *simRegistry) readEpoch(ctx context.Context) (id uint64, err error) {
	err = r.call(ctx, func(s *server) (err error) {
		id, err = s.readEpoch(r.silence())
		return err
	})
	if err != nil {
		return 0, err
	}
	r.see(id)
	return id, nil
}

// compareNodes orders them by name.
func compareNodes(a lastSeen, node string) int { return strings.Compare(a.node, node) }
