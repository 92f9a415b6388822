package registry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

const (
	// verifyPause is the shortest pause after each batch of a verification, which
	// bounds it to 100,000 leases a second.
	verifyPause = 10 * time.Millisecond
	// verifySpread is by how much nodes that notice a loss together may begin to verify
	// apart; with short heartbeats it is less.
	verifySpread = 250 * time.Millisecond
	// verifyRetry follows a verification that failed.
	verifyRetry = time.Second
	// settlePause is the first pause between two looks at an epoch that is
	// not settled; it grows to a quarter of a heartbeat.
	settlePause = 25 * time.Millisecond
)

// attend does what is due beside the ticks: it replaces keys that were overwritten, verifies
// all leases, and looks whether the other nodes have verified theirs. It returns when it
// wants to be called again, 0 for when something happens.
func (f *refresher) attend(ctx context.Context) time.Duration {
	return earliest(f.replaceOverwritten(ctx), f.attendLeases(ctx))
}

// earliest returns the shorter of two waits, of which 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

func (f *refresher) attendLeases(ctx context.Context) time.Duration {
	f.r.mu.Lock()
	due := f.verification
	f.verification = min(due, verifyDue)
	f.r.mu.Unlock()
	if due == verifyAtOnce {
		f.notUntil, f.pause = time.Now().Add(upTo(min(verifySpread, f.r.timing.Heartbeat/8))), 0
	}
	if due != verifyIdle {
		if wait := time.Until(f.notUntil); wait > 0 {
			return wait
		}
		f.verify(ctx)
	}
	return f.countPeers(ctx)
}

// verify refreshes all leases, claims again what is missing, and tells the peers
// that this node vouches for the epochs that began before. If anything fails it
// is due again.
func (f *refresher) verify(ctx context.Context) {
	f.r.mu.Lock()
	f.verification = verifyIdle
	leases := f.r.wheel.all()
	epochs := f.r.epochs.toVerify()
	f.r.mu.Unlock()

	err := f.refreshAll(ctx, leases, pauseAfter)

	f.r.mu.Lock()
	f.outage = err != nil
	if err != nil {
		f.verification = max(f.verification, verifyDue)
		f.notUntil = time.Now().Add(min(verifyRetry, f.r.timing.Heartbeat/4))
	} else {
		f.notUntil = time.Now().Add(f.r.timing.Heartbeat)
		for master, id := range epochs {
			f.r.epochs.on(leasesVerified, master, id, time.Now())
		}
	}
	f.r.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			f.r.Failed(redisconn.Verifying, err)
		}
		return
	}
	f.r.Works(redisconn.Verifying)
	ctx, cancel := context.WithTimeout(ctx, f.r.roundTrip)
	defer cancel()
	if err := f.r.announce(ctx); err != nil {
		f.r.log.Debug("verified epoch could not be announced", "error", err) // the next beat does
	}
}

// pauseAfter returns how long a verification rests after a batch: as long as the
// batch took, so that a Redis which is busy with all that came back to it gets as much
// rest as work from each node, and up to half as long again by chance, so that nodes
// do not keep step.
func pauseAfter(took time.Duration) time.Duration {
	pause := max(verifyPause, took)
	return pause + upTo(pause/2)
}

// upTo returns a duration by chance.
func upTo(d time.Duration) time.Duration { return rand.N(d + 1) }

// countPeers looks at the other nodes while an epoch is not settled, and returns when to
// look again.
func (f *refresher) countPeers(ctx context.Context) time.Duration {
	if f.r.AllSettled() {
		f.pause = 0
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, f.r.roundTrip)
	defer cancel()
	settled, err := f.r.countAllPeers(ctx)
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
