package registry

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// AllSettled reports, without asking Redis, whether the last seen epochs of all masters
// are settled.
func (r *Registry) AllSettled() bool { return r.allSettled.Load() }

// settledChangedLocked makes known that an epoch became settled, ceased to be, began or was
// forgotten. The caller holds mu.
func (r *Registry) settledChangedLocked() {
	settled := r.epochs.allSettled()
	r.allSettled.Store(settled)
	r.metrics.Settled.Set(0)
	if settled {
		r.metrics.Settled.Set(1)
	}
	close(r.epochsChanged)
	r.epochsChanged = make(chan struct{})
}

// logSettled logs, until ctx ends, when what is missing in the registry begins and ceases to
// prove nothing. The first time is the node's start.
func (r *Registry) logSettled(ctx context.Context) {
	level, was, since := slog.LevelDebug, false, time.Now()
	for {
		r.mu.Lock()
		settled, changed := r.epochs.allSettled(), r.epochsChanged
		r.mu.Unlock()
		switch {
		case settled && !was:
			r.log.Log(ctx, level, "registry is settled: all nodes have verified their leases", "after", time.Since(since).Round(time.Millisecond))
			level = slog.LevelInfo
		case was && !settled:
			since = time.Now()
			r.log.Warn("registry is not settled: until all nodes have verified their leases, nobody is welcomed or called offline")
		}
		was = settled
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// stillSettled reports whether the epoch that cl ran in is settled and the last one seen.
func (r *Registry) stillSettled(cl *claim) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs.isSettled(cl.master, cl.epoch)
}

// awaitSettled returns when the last seen epoch of a master is settled.
func (r *Registry) awaitSettled(ctx context.Context, master string) error {
	for {
		r.mu.Lock()
		settled, changed := r.epochs.settled(master), r.epochsChanged
		r.mu.Unlock()
		if settled != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnsettled, context.Cause(ctx))
		}
	}
}

// vouched lists the epochs in which this node has verified its leases, in the form of the
// node lease.
func (r *Registry) vouched() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs.vouched()
}
