package registry

import (
	"context"
	"errors"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// reclaimRounds bounds how often a lease is claimed again at once when its
// claim is refused; after that the next refresh tries.
const reclaimRounds = 5

var errContended = errors.New("lease could not be claimed again: its owners keep changing")

// lostLease is a lease on its way back into the registry.
type lostLease struct {
	lease *Lease
	rule  Duplicates
	claim *claim // its last
}

// reclaim writes entries that are missing again, with the same tokens. Under
// Replace and Reject another owner, if it lives, has taken the address; if it is
// dead it is pruned. While the epoch is not settled it is unknown which node is dead.
// Then the entry is written beside that of the other owner, whose claim is repeated once
// the epoch is settled, and decides.
func (f *refresher) reclaim(ctx context.Context, leases []*Lease) error {
	if len(leases) == 0 {
		return nil
	}
	waiting := make([]*lostLease, len(leases))
	for i, l := range leases {
		waiting[i] = &lostLease{lease: l, rule: Allow}
		if l.exclusive {
			waiting[i].rule = Reject
		}
	}
	var failed error
	for range reclaimRounds {
		refused, err := f.claimAgain(ctx, waiting)
		if err != nil {
			failed = err
		}
		if len(refused) == 0 {
			return failed
		}
		if waiting, err = f.resolve(ctx, refused); err != nil {
			return err
		}
	}
	if len(waiting) > 0 && failed == nil {
		failed = errContended
	}
	return failed
}

// claimAgain claims all of waiting, in as few groups as the batcher makes of
// them, and returns those that were refused because others own the address.
func (f *refresher) claimAgain(ctx context.Context, waiting []*lostLease) (others []*lostLease, failed error) {
	answers := make(chan *lostLease, len(waiting))
	queued := 0
	for _, w := range waiting {
		claiming, err := f.claimHeld(w, answers)
		if err != nil {
			failed = err
			break
		}
		if claiming {
			queued++
		}
	}
	for range queued {
		select {
		case w := <-answers:
			switch {
			case w.claim.err != nil:
				failed = w.claim.err
			case f.conclude(w):
			default:
				others = append(others, w)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return others, failed
}

// conclude acts on the answer to a claim of a lost lease: it was restored, or another
// session has taken it. It returns false if others own the address, which is undecided.
func (f *refresher) conclude(w *lostLease) bool {
	switch w.claim.verdict {
	case written:
		f.r.metrics.LeasesLost.WithLabelValues("missing").Inc()
		if f.holds(w.lease) {
			f.r.events.OnRestored(w.lease, w.claim.others)
			break
		}
		// Released meanwhile; where more claims waited than a group takes, before this one.
		f.r.batcher.release(release{address: w.claim.address, number: w.claim.number})
	case superseded:
		f.evict(w.lease)
	default:
		return false
	}
	return true
}

// claimHeld queues a claim of a lease unless it was released.
func (f *refresher) claimHeld(w *lostLease, answers chan<- *lostLease) (bool, error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	l := w.lease
	if l.state != leaseHeld {
		return false, nil
	}
	w.claim = &claim{lease: l, address: l.address, number: l.number, rule: w.rule, again: true,
		answered: func(*Registry, *claim) { answers <- w }}
	return true, f.r.batcher.claim(w.claim)
}

func (f *refresher) holds(l *Lease) bool {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return l.state == leaseHeld
}

// resolve decides about lost leases whose addresses others own, and returns those that
// are to be claimed once more.
func (f *refresher) resolve(ctx context.Context, refused []*lostLease) (again []*lostLease, err error) {
	var owners []Owner
	for _, w := range refused {
		owners = append(owners, w.claim.others...)
	}
	live, certain, err := f.r.liveNodes(ctx, owners)
	if err != nil {
		return nil, err
	}
	var prunes []*redisconn.Call
	for _, w := range refused {
		switch {
		case !certain || !f.r.stillSettled(w.claim):
			w.rule = Allow
		case anyLive(live, w.claim.others):
			f.evict(w.lease)
			continue
		default:
			prunes = append(prunes, f.r.pruneCall(w.lease.address, w.claim.others))
		}
		again = append(again, w)
	}
	if len(prunes) == 0 {
		return again, nil
	}
	return again, f.r.pruneAll(ctx, prunes)
}

func anyLive(live map[string]bool, owners []Owner) bool {
	for _, o := range owners {
		if live[o.NodeID] {
			return true
		}
	}
	return false
}
