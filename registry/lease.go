package registry

import (
	"context"
	"fmt"
	"strconv"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Lease is this node's claim of an address, from ClaimAsync until Release. It is
// meant to be embedded by value in what the caller keeps for the address. Its
// zero value is ready for a claim, and so is a lease whose claim failed; it must
// not be copied, nor claimed while it is held.
type Lease struct {
	// Written by ClaimAsync before anybody else sees the lease.
	address string
	number  uint64 // the token

	exclusive bool // its rule, Replace or Reject, allows no other owner

	// Guarded by Registry.mu.
	state leaseState
	slot  int16 // of the wheel
	index int32 // in its slot of the wheel
}

// leaseState is what the registry does with a lease.
type leaseState uint8

const (
	// leaseFree: it is not refreshed; a claim of it may be under way, and waits where it
	// has to. A claim that succeeds makes it held, Withdraw withdrawn.
	leaseFree leaseState = iota
	// leaseWithdrawn: nobody wants it any more; a claim of it fails rather than wait. One
	// that succeeds all the same makes it held.
	leaseWithdrawn
	// leaseHeld: it is refreshed. Release makes it free, and so does its loss.
	leaseHeld
)

// Address returns what was claimed.
func (l *Lease) Address() string { return l.address }

// Name makes l the claim of address with that number as its token. It is for what stands in
// for a Registry, as a simulation does: a Registry's ClaimAsync does it itself.
func (l *Lease) Name(address string, number uint64) { l.address, l.number = address, number }

// Token returns the claim's token, a hexadecimal number: a later claim of the node has
// a larger one.
func (l *Lease) Token() string { return strconv.FormatUint(l.number, tokenBase) }

const tokenBase = 16

// Owner is one node's entry for an address.
type Owner struct {
	NodeID string
	Token  string // of the claim that wrote the entry
}

// Release stops refreshing l at once and removes its entry soon, if the entry
// still holds l's token. It does not wait for Redis; what can't be sent while
// Redis is away is left to the lease's TTL. Releasing a lease that is not held
// does nothing.
func (r *Registry) Release(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forgetLocked(l) {
		// Under mu, so that a claim of the same lease that the refresher
		// queues is either before this or not made.
		r.batcher.release(release{address: l.address, number: l.number})
	}
}

// forgetLocked stops refreshing l and reports whether it was held. The caller holds mu.
func (r *Registry) forgetLocked(l *Lease) bool {
	if l.state != leaseHeld {
		return false
	}
	r.wheel.remove(l)
	l.state = leaseFree
	r.metrics.Leases.Dec()
	return true
}

// Prune removes those of owners' entries that still hold the given tokens.
func (r *Registry) Prune(ctx context.Context, address string, owners ...Owner) error {
	if len(owners) == 0 {
		return nil
	}
	return r.pruneAll(ctx, []*redisconn.Call{r.pruneCall(address, owners)})
}

func (r *Registry) pruneCall(address string, owners []Owner) *redisconn.Call {
	keys, pairs := make([]string, 0, len(owners)), make([]any, 0, 2*len(owners))
	for _, o := range owners {
		keys = append(keys, r.keys.Address(address))
		pairs = append(pairs, o.NodeID, o.Token)
	}
	return releaseScript.Call(keys, pairs...)
}

func (r *Registry) pruneAll(ctx context.Context, calls []*redisconn.Call) error {
	err := r.timed("prune", func() error { return r.redis.Run(ctx, calls) })
	for _, c := range calls {
		if n, err := c.Cmd.Int(); err == nil {
			r.metrics.PrunedOwners.Add(float64(n))
		}
	}
	if err != nil {
		return fmt.Errorf("prune owners: %w", err)
	}
	return nil
}
