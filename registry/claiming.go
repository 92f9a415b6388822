package registry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ClaimAsync makes this node an owner of address, by the address's rule for duplicates,
// which must be the same on all nodes, and keeps l refreshed until Release. It returns at
// once; claimed is called exactly once, from a goroutine of the registry or before
// ClaimAsync returns, and must not block. Until then l must be left alone but for Withdraw;
// to release it in claimed is not too late.
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

// Withdraw says that the claim of l that is under way is not wanted any more. Where it would
// have to wait it fails, and releases what it wrote; otherwise it may still succeed. A later
// claim of l does not wait either.
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
	case cl.verdict == written && r.holdLease(cl):
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

// clearWay waits until the epoch is settled, removes the dead owners that a claim was
// refused for, or waits until a key that is not beeline's was removed.
func (r *Registry) clearWay(cl *claim, settled bool) error {
	ctx, end := r.wait(cl)
	defer end()
	switch {
	case !settled:
		return r.awaitSettled(ctx, cl.master)
	case cl.verdict == refused:
		return r.pruneDead(ctx, cl.address, cl.others)
	case cl.verdict == external: // it is removed next
		return pause(ctx, settlePause)
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
	live, certain, err := r.liveNodes(ctx, owners)
	if err != nil {
		return err
	}
	for _, o := range owners {
		if live[o.NodeID] {
			return ErrHeld
		}
	}
	if certain {
		return r.Prune(ctx, address, owners...)
	}
	return pause(ctx, settlePause)
}

// pause waits before another look at what is not settled.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnsettled, context.Cause(ctx))
	}
}

// holdLease begins to refresh the lease of a claim, if the epoch that the claim was made in
// was settled before it was sent, and is still the last one seen. If it was not settled,
// an owner's entry may have been missing when the claim was made. If it is not the last,
// the claim's own entry may be lost, and the verification that follows does not know of
// the lease.
func (r *Registry) holdLease(cl *claim) bool {
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
