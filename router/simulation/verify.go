package simulation

import (
	"context"
	"slices"
	"time"
)

// settle marks the epoch as settled if this node and all its peers have verified their
// leases in it.
func (r *simRegistry) settle(ctx context.Context) error {
	if err := r.settling.Wait(ctx); err != nil {
		return err
	}
	defer r.settling.Set()
	e := r.epoch
	if !e.known || !e.verified || e.settled >= 0 {
		return nil
	}
	settled, oldEnough := false, e.oldEnough
	err := r.call(ctx, func(s *server) error {
		now := r.now()
		up := now - s.booted
		enough := minUptime
		if e.renewed {
			enough = max(enough, r.timing.NodeTTL())
		}
		oldEnough = oldEnough || up >= enough && (!e.outage || now-e.seen >= r.silence())
		settled = oldEnough && r.peersVerified(s, &e)
		return nil
	})
	if err != nil || r.epoch.id != e.id {
		return err
	}
	r.epoch.oldEnough = oldEnough
	if settled {
		r.epoch.settled = r.now()
		r.host.world.record("%s: epoch %x is settled", r.host.id, e.id)
		r.tellChanged()
	}
	return nil
}

// peersVerified reports whether every other node says in its lease that it has verified the
// epoch: who subscribes, who has a lease, and whose lease would live if it was not lost.
func (r *simRegistry) peersVerified(s *server, e *epoch) bool {
	now := r.now()
	patience := now-e.seen < 2*r.timing.NodeTTL()
	for _, p := range r.host.cluster.hosts {
		if p == r.host {
			continue
		}
		l := s.data.lease(p.id, now)
		subscribes := len(s.subs[r.host.cluster.keys.Channel(p.id)]) > 0
		_, lately := slices.BinarySearchFunc(r.seen, p.id, compareNodes)
		lately = lately && slices.ContainsFunc(r.seen, func(x lastSeen) bool { return x.node == p.id && x.until > now })
		switch {
		case l != nil && l.vouched != e.id:
			return false
		case l == nil && (subscribes && patience || lately):
			return false
		}
	}
	return true
}

// refreshAll is the refresher's task: it refreshes the leases, verifies them after a loss of
// data, and looks whether the peers have.
func (r *simRegistry) refreshAll() {
	timer := r.host.runtime.AfterFunc(r.timing.Heartbeat, r.attend.Set)
	retry := time.Duration(-1) // when a verification that failed is made again
	r.refreshed = r.now()
	pause := settlePause
	for r.attend.Wait(r.ctx) == nil {
		if r.hasty {
			r.hasty, retry = false, -1
			_ = r.host.runtime.Sleep(r.ctx, time.Duration(r.host.world.chance.Int64N(int64(r.timing.Heartbeat/8))))
			if !r.verify() {
				retry = r.now() + min(verifyRetry, r.timing.Heartbeat/4)
			}
			pause = settlePause
		}
		if retry >= 0 && r.now() >= retry {
			retry, r.hasty = -1, true
			r.attend.Set()
			continue
		}
		if r.now()-r.refreshed >= r.timing.RefreshEvery() {
			r.refreshed = r.now()
			r.noticeOutage(r.refresh(r.held))
		}
		next := r.timing.Heartbeat
		if !r.AllSettled() {
			_ = r.settle(r.ctx)
			pause = min(pause*3/2, r.timing.Heartbeat/4)
			next = pause
		}
		if retry >= 0 {
			next = min(next, max(retry-r.now(), time.Millisecond))
		}
		timer.Reset(next)
	}
	timer.Stop()
}

// verify refreshes all leases and claims again what is missing; then this node vouches for
// the epoch that began before.
func (r *simRegistry) verify() bool {
	seen := r.epoch
	err := r.refresh(slices.Clone(r.held))
	r.outage = err != nil
	if err != nil {
		return false
	}
	if !seen.unannounced && r.epoch.id == seen.id {
		r.epoch.verified = true
	}
	ctx, cancel := r.host.runtime.WithTimeout(r.ctx, r.operation())
	defer cancel()
	_ = r.announce(ctx) // the next beat does
	return true
}
