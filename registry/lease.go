package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

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

// ClaimAsync makes this node an owner of address, by the address's rule for duplicates,
// which must be the same on all nodes, and keeps l refreshed until Release. It returns at once; claimed is called exactly once, from a goroutine of
// the registry or before ClaimAsync returns, and must not block. Until then l must be
// left alone but for Withdraw; to release it in claimed is not too late.
//
// claimed gets the other owners, some of which may be dead; under Replace each must
// be told, and releases its lease then; under Reject a live other owner makes the
// claim fail with ErrHeld, and claimed gets the owners with it (dead ones are pruned and
// claimed over). While the registry is not settled the claim waits, and is made again,
// so that no owner is missed. On any error the entry, if it was written, is released.
//
// A claim that can't be sent, or must be repeated, before the deadline fails, with
// ErrUnsettled if that is why; one that is under way then has its answer still, in the
// time that a round trip may take. A zero deadline is none.
func (r *Registry) ClaimAsync(deadline time.Time, l *Lease, address string, rule Duplicates, claimed func(others []Owner, err error)) {
	l.address, l.number, l.exclusive = address, r.tokens.Add(1), rule != Allow
	cl := &claim{lease: l, address: address, number: l.number, rule: rule, deadline: deadline,
		answered: (*Registry).claimAnswered, claimed: claimed}
	if err := rule.Check(); err != nil {
		r.failClaim(cl, err)
		return
	}
	if err := r.batcher.claim(cl); err != nil {
		r.failClaim(cl, err)
	}
}

// Withdraw has a claim under way fail, and release what it wrote, rather than wait, because
// nobody wants it any more. If it needs no wait it still may succeed. A later claim of l
// does not wait either.
func (r *Registry) Withdraw(l *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.state == leaseFree {
		l.state = leaseWithdrawn
	}
	if end := r.waits[l]; end != nil {
		end()
	}
}

// claimAnswered ends a claim, or begins what has to happen before it is made
// again.
func (r *Registry) claimAnswered(cl *claim) {
	switch {
	case cl.err != nil:
		r.failClaim(cl, cl.err)
	case cl.verdict == written && r.admit(cl):
		cl.claimed(cl.others, nil)
	default:
		r.repeatClaim(cl)
	}
}

// failClaim ends a claim with an error and releases what it wrote.
func (r *Registry) failClaim(cl *claim, err error) {
	if cl.wrote {
		r.batcher.release(release{address: cl.address, number: cl.number, doubtful: cl.err != nil})
	}
	var holders []Owner
	if errors.Is(err, ErrHeld) {
		holders = cl.others
	}
	cl.claimed(holders, cl.failure(err))
}

// repeatClaim makes a claim once more when what was in its way is gone, because
// only a claim that was made in a settled epoch saw every other owner. It waits
// for that in a goroutine; at maxWaitingClaims of them the claim fails.
func (r *Registry) repeatClaim(cl *claim) {
	settled := r.stillSettled(cl)
	if !settled {
		cl.unsettled = true
	}
	if r.repeating.Add(1) > maxWaitingClaims {
		r.repeating.Add(-1)
		r.failClaim(cl, errBusy)
		return
	}
	r.ended.Go(func() {
		defer r.repeating.Add(-1)
		err := r.clearWay(cl, settled)
		if err == nil {
			err = r.batcher.claim(cl)
		}
		if err != nil {
			r.failClaim(cl, err)
		}
	})
}

// clearWay waits until the epoch is settled, or else removes the dead owners
// that a claim was refused for.
func (r *Registry) clearWay(cl *claim, settled bool) error {
	ctx, end := r.wait(cl)
	defer end()
	switch {
	case !settled:
		return r.awaitSettled(ctx, cl.master)
	case cl.verdict == refused:
		return r.pruneDead(ctx, cl.address, cl.others)
	case cl.verdict == external: // it is removed next
		return rest(ctx, settlePause)
	}
	return nil // settled meanwhile
}

// wait returns a context that ends at a claim's deadline, when it is withdrawn, or with
// the registry, and a function that ends the wait.
func (r *Registry) wait(cl *claim) (context.Context, func()) {
	var ctx context.Context
	var cancel context.CancelFunc
	if cl.deadline.IsZero() {
		ctx, cancel = context.WithCancel(r.stopping)
	} else {
		ctx, cancel = context.WithDeadline(r.stopping, cl.deadline)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits[cl.lease] = cancel
	if cl.lease.state == leaseWithdrawn {
		cancel()
	}
	return ctx, func() {
		cancel()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.waits, cl.lease)
	}
}

// pruneDead removes the owners whose nodes are dead. The error is ErrHeld if one
// lives. While a master is unsettled a missing lease proves nothing: then it removes
// nothing and takes its time, because the claim that follows looks again.
func (r *Registry) pruneDead(ctx context.Context, address string, owners []Owner) error {
	live, sure, err := r.alive(ctx, owners)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if live[o.NodeID] {
			return ErrHeld
		}
	}
	if sure {
		return r.Prune(ctx, address, owners...)
	}
	return rest(ctx, settlePause)
}

// rest waits before another look at what is not settled.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnsettled, context.Cause(ctx))
	}
}

// admit begins to refresh the lease of a claim, if the epoch that the claim was
// made in was settled before, and is still the last one seen. Else some owner's entry
// was perhaps missing when the claim was made, or the claim's own may be lost already,
// and the verification that follows would not know of it.
func (r *Registry) admit(cl *claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !cl.complete || !r.epochs.isSettled(cl.master, cl.epoch) {
		return false
	}
	r.wheel.add(cl.lease)
	cl.lease.state = leaseHeld
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
	if r.forgetLocked(l) {
		// Under mu, so that a claim of the same lease that the refresher
		// queues is either before this or not made.
		r.batcher.release(release{address: l.address, number: l.number})
	}
}

// forget stops refreshing l and tells whether it was held. The caller holds mu.
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
