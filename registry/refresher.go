package registry

import (
	"context"
	"errors"
	"time"
)

const (
	maxSlots     = 300                   // ticks in a refresh interval
	minTick      = 10 * time.Millisecond // so a short interval has fewer
	maxCatchUp   = 4                     // refreshes in a row when ticks came late
	waitPart     = 30                    // a lease waits for others up to this part of the interval
	refreshBatch = 1024                  // leases that one pipeline extends
)

// refresher extends each lease once an interval, claims again what was lost, and
// verifies all leases when Redis may have lost data.
type refresher struct {
	r     *Registry
	wake  chan struct{}
	every time.Duration // between two ticks

	// Guarded by Registry.mu.
	verification verification
	outage       bool // the last refresh or beat failed

	// Owned by the loop.
	notUntil time.Time     // the next verification, if it is due
	pause    time.Duration // before the next look at an epoch that is not settled
}

// verification says when all leases are to be verified.
type verification uint8

const (
	// verifyIdle: none is due. An answer after an outage, or a verification that failed,
	// leads to verifyDue; a new epoch, or another node that took this one for dead, to
	// verifyAtOnce.
	verifyIdle verification = iota
	// verifyDue: one begins when refresher.notUntil has come, which leads to verifyIdle.
	verifyDue
	// verifyAtOnce: one begins after a moment by chance, up to verifySpread, whatever
	// notUntil says. The loop sets notUntil, which leads to verifyDue.
	verifyAtOnce
)

// newRefresher returns a refresher, and the wheel that it turns.
func newRefresher(r *Registry) (*refresher, *wheel) {
	slots := int(max(1, min(maxSlots, r.timing.RefreshEvery()/minTick)))
	f := &refresher{r: r, wake: make(chan struct{}, 1), every: r.timing.RefreshEvery() / time.Duration(slots)}
	return f, newWheel(slots)
}

// verifyAtOnceLocked makes a verification due at once. The caller holds Registry.mu.
func (f *refresher) verifyAtOnceLocked() {
	f.verification = verifyAtOnce
	f.signal()
}

// verifyDueLocked makes a verification due. The caller holds Registry.mu.
func (f *refresher) verifyDueLocked() {
	f.verification = max(f.verification, verifyDue)
	f.signal()
}

// signal has the loop attend to what is due.
func (f *refresher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// loop runs until ctx ends.
func (f *refresher) loop(ctx context.Context) {
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	began, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			passed := int(now.Sub(began) / f.every)
			owed := min(passed-done, len(f.r.wheel.slots)) // what is older was refreshed by verifying
			for range maxCatchUp {
				n := f.slotsToTurn(owed)
				if n == 0 {
					break
				}
				f.tick(ctx, n)
				owed -= n
			}
			done = passed - owed
		case <-f.wake:
		case <-again.C:
		}
		if next := f.attend(ctx); next > 0 {
			again.Reset(next)
		}
	}
}

// slotsToTurn returns how many of the slots that are owed are turned now: as many as fill
// a script call. Few leases wait for more, for a while, because a round trip costs as much
// as ten leases.
func (f *refresher) slotsToTurn(owed int) int {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	w := f.r.wheel
	n, due := 0, 0
	for n < owed && due < groupKeys {
		due += len(w.slots[(w.hand+n)%len(w.slots)])
		n++
	}
	if due > 0 && due < groupKeys && n < max(1, len(w.slots)/waitPart) && !f.outage {
		return 0
	}
	return n
}

// tick refreshes the n slots that are due. Leases whose refresh fails stay in their slots.
// While Redis does not answer, each tick tries it, and the first that succeeds makes a
// verification of all leases due.
func (f *refresher) tick(ctx context.Context, n int) {
	f.r.mu.Lock()
	leases, outage := f.r.wheel.turn(n), f.outage
	f.r.mu.Unlock()
	switch {
	case len(leases) > 0:
		f.r.noticeOutage(f.refreshAll(ctx, leases, nil))
	case outage:
		f.r.noticeOutage(f.readEpochs(ctx))
	}
}

// readEpochs asks all masters for their epochs.
func (f *refresher) readEpochs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.r.roundTrip)
	defer cancel()
	tags, err := f.r.masters.find(ctx)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if _, err := f.r.readEpoch(ctx, tag); err != nil {
			return err
		}
	}
	return nil
}

// noticeOutage makes all leases due for verification when Redis answers again
// after it did not: some may have expired.
func (r *Registry) noticeOutage(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil && r.refresher.outage {
		r.refresher.verifyDueLocked()
	}
	r.refresher.outage = err != nil
}
