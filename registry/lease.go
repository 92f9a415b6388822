package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Lease is this node's claim of an address, from Claim until Release. It is
// meant to be embedded by value in what the caller keeps for the address. Its
// zero value is ready for Claim, and so is a lease whose Claim failed; it must
// not be copied, nor claimed while it is held.
type Lease struct {
	// Written by Claim before anybody else sees the lease.
	address string
	number  uint64 // the token

	// Guarded by Registry.mu.
	index int32 // in its slot of the wheel
	slot  int16 // of the wheel
	held  bool  // between a successful Claim and Release or Taken
}

// Address returns what was claimed.
func (l *Lease) Address() string { return l.address }

// Token returns the claim's token, unique for each claim of the node.
func (l *Lease) Token() string { return strconv.FormatUint(l.number, 16) }

// Owner is one node's entry for an address.
type Owner struct {
	NodeID string
	Token  string // of the claim that wrote the entry
}

// Claim makes this node an owner of address and keeps l refreshed until
// Release. It returns the other owners, some of which may be dead; under
// Replace they have been removed already and must be told; under Reject a live
// other owner makes it fail with ErrHeld (dead ones are pruned and claimed
// over). While the registry is not settled it waits, and claims again, so that
// no owner is missed; if ctx ends before, the error wraps ErrUnsettled. On any
// error the entry, if it was written, is released.
func (r *Registry) Claim(ctx context.Context, l *Lease, address string) (others []Owner, err error) {
	l.address, l.number = address, r.tokens.Add(1)
	others, err = r.claim(ctx, l)
	if err != nil {
		answered := errors.Is(err, ErrHeld) || errors.Is(err, ErrUnsettled)
		r.committer.release(release{address: address, token: l.Token(), doubtful: !answered})
		return nil, fmt.Errorf("claim %q: %w", address, err)
	}
	return others, nil
}

// claim claims until the claim was made in a settled epoch, because only then
// did it see every other owner.
func (r *Registry) claim(ctx context.Context, l *Lease) ([]Owner, error) {
	for {
		c, err := r.committer.claim(ctx, l, r.opts.Duplicates, "new")
		if err != nil {
			return nil, err
		}
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
		if c.verdict == written && r.admit(l, c.master, c.epoch) {
			return c.others, nil
		}
		if !r.stillSettled(c) {
			if err := r.awaitSettled(ctx, c.master); err != nil {
				return nil, err
			}
			continue
		}
		if c.verdict != refused {
			continue // settled meanwhile
		}
		if err := r.pruneDead(ctx, l.address, c.others); err != nil {
			return nil, err
		}
	}
}

// pruneDead removes the owners whose nodes are dead. The error is ErrHeld if one
// lives. In an unsettled epoch it knows nothing and does nothing: the next
// claim finds that out and waits.
func (r *Registry) pruneDead(ctx context.Context, address string, owners []Owner) error {
	live, sure, err := r.alive(ctx, owners)
	if err != nil {
		return err
	}
	if !sure {
		return nil
	}
	for _, o := range owners {
		if live[o.NodeID] {
			return ErrHeld
		}
	}
	return r.Prune(ctx, address, owners...)
}

// admit begins to refresh l, if the epoch that its claim was made in is settled
// and still the last one seen. Else the entry may be lost already, and the
// verification that follows would not know of it.
func (r *Registry) admit(l *Lease, master, epoch string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.settledIn(master, epoch) {
		return false
	}
	r.wheel.add(l)
	l.held = true
	r.metrics.Leases.Inc()
	return true
}

// Release stops refreshing l at once and removes its entry soon, if the entry
// still holds l's token. It does not wait for Redis; what can't be sent while
// Redis is away is left to the lease's TTL. Releasing a lease that is not held
// does nothing.
func (r *Registry) Release(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.forget(l) {
		// Under mu, so that a claim of the same lease that the refresher
		// queues is either before this or not made.
		r.committer.release(release{address: l.address, token: l.Token()})
	}
}

// forget stops refreshing l and tells whether it was held. The caller holds mu.
func (r *Registry) forget(l *Lease) bool {
	if !l.held {
		return false
	}
	r.wheel.remove(l)
	l.held = false
	r.metrics.Leases.Dec()
	return true
}

// Prune removes those of owners' entries that still hold the given tokens.
func (r *Registry) Prune(ctx context.Context, address string, owners ...Owner) error {
	if len(owners) == 0 {
		return nil
	}
	return r.pruneAll(ctx, []*call{r.pruneCall(address, owners)})
}

func (r *Registry) pruneCall(address string, owners []Owner) *call {
	pairs := make([]any, 0, 2*len(owners))
	for _, o := range owners {
		pairs = append(pairs, o.NodeID, o.Token)
	}
	return newCall(releaseScript, []string{r.keys.Address(address)}, pairs...)
}

func (r *Registry) pruneAll(ctx context.Context, calls []*call) error {
	err := r.timed("prune", func() error { return r.run(ctx, calls, nil) })
	for _, c := range calls {
		if n, err := c.cmd.Int(); err == nil {
			r.metrics.PrunedOwners.Add(float64(n))
		}
	}
	if err != nil {
		return fmt.Errorf("prune owners: %w", err)
	}
	return nil
}
