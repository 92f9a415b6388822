package registry

import (
	"context"
	"time"
)

const (
	// verifyPause follows each batch of a verification: a node with 100,000
	// leases spreads it over about two seconds.
	verifyPause = 10 * time.Millisecond
	// verifyRetry follows a verification that failed.
	verifyRetry = time.Second
	// settlePause is the first pause between two looks at an epoch that is
	// not settled; it grows to a quarter of a heartbeat.
	settlePause = 25 * time.Millisecond
)

// attend does what is due beside the ticks: it tells of a disturbance, verifies,
// and looks whether the peers have verified too. It returns when it wants to be
// called again, 0 for when something happens.
func (f *refresher) attend(ctx context.Context) time.Duration {
	f.r.mu.Lock()
	disturbed, due := f.disturbed, f.due
	f.disturbed = false
	f.r.mu.Unlock()
	if disturbed {
		f.r.events.Disturbed()
		f.notUntil, f.pause = time.Time{}, 0
	}
	if due {
		if wait := time.Until(f.notUntil); wait > 0 {
			return wait
		}
		f.verify(ctx)
	}
	return f.settle(ctx)
}

// verify refreshes all leases, claims again what is missing, and tells the peers
// that this node vouches for the epochs that began before. If anything fails it
// is due again.
func (f *refresher) verify(ctx context.Context) {
	f.r.mu.Lock()
	f.due = false
	leases := f.r.wheel.all()
	seen := make(map[string]string)
	for master, e := range f.r.epochs {
		seen[master] = e.id
	}
	f.r.mu.Unlock()

	err := f.refreshAll(ctx, leases, verifyPause)

	f.r.mu.Lock()
	f.outage = err != nil
	if err != nil {
		f.due = true
		f.notUntil = time.Now().Add(min(verifyRetry, f.r.timing.Heartbeat/4))
	} else {
		f.notUntil = time.Now().Add(f.r.timing.Heartbeat)
		for master, id := range seen {
			if e := f.r.epochs[master]; e != nil && e.id == id {
				e.verified = true
			}
		}
	}
	f.r.mu.Unlock()
	if err != nil {
		f.r.log.Warn("leases could not be verified", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, f.r.timing.operation())
	defer cancel()
	if err := f.r.announce(ctx); err != nil {
		f.r.log.Warn("verified epoch could not be announced", "error", err) // the next beat does
	}
}

// settle looks at the epochs that are not settled and returns when to look
// again.
func (f *refresher) settle(ctx context.Context) time.Duration {
	if f.r.Undisturbed() {
		f.pause = 0
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, f.r.timing.operation())
	defer cancel()
	settled, err := f.r.settleAll(ctx)
	if err != nil {
		f.r.log.Debug("epoch could not be settled", "error", err)
	}
	if settled {
		f.pause = 0
		return 0
	}
	f.pause = max(settlePause, min(f.pause*3/2, f.r.timing.Heartbeat/4))
	return f.pause
}
