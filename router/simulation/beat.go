package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// A node's beats, and the epochs that it learns of.

// Beat writes this node's lease and looks at the epoch.
func (r *simRegistry) Beat(ctx context.Context, info registry.NodeInfo) error {
	info.ID = r.host.id
	err := r.beat(ctx, info)
	r.noticeOutage(err)
	if err != nil {
		return err
	}
	if err := r.announce(ctx); err != nil {
		return err
	}
	if !r.AllSettled() {
		_ = r.settle(ctx) // the lease is written all the same
	}
	return nil
}

func (r *simRegistry) beat(ctx context.Context, info registry.NodeInfo) error {
	vouched, began := r.vouched(), r.now()
	var id uint64
	var added bool
	var seen []sighting
	err := r.call(ctx, func(s *server) (err error) {
		if id, err = s.readEpoch(r.silence()); err != nil {
			return err
		}
		now := r.now()
		added = s.data.lease(info.ID, now) == nil
		s.write(func(d *dataset) { d.leases[info.ID] = &nodeLease{info, vouched, now + r.timing.NodeTTL()} })
		for _, node := range s.data.listed(now) {
			seen = append(seen, sighting{node, s.data.lease(node, now).expires})
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.sight(seen)
	lapsed := r.lapsed || r.lastBeat >= 0 && (added || began-r.lastBeat >= r.timing.NodeTTL())
	if r.lastBeat >= 0 && began-r.lastBeat >= r.silence() {
		r.resumed = began
	}
	r.last, r.lastBeat, r.announced, r.lapsed = info, began, vouched, false
	r.see(id)
	if lapsed {
		r.events.OnLeaseLost()
		r.VerifyLeases()
	}
	return nil
}

// sight remembers until when nodes' leases live.
func (r *simRegistry) sight(seen []sighting) {
	for _, s := range seen {
		i, found := slices.BinarySearchFunc(r.sighted, s.node, compareNodes)
		if !found {
			r.sighted = slices.Insert(r.sighted, i, s)
		}
		r.sighted[i].until = max(r.sighted[i].until, s.until)
	}
	r.sighted = slices.DeleteFunc(r.sighted, func(s sighting) bool { return s.until <= r.now() })
}

func (r *simRegistry) vouched() uint64 {
	if r.epoch.verified {
		return r.epoch.id
	}
	return 0
}

// announce has the node lease say in which epoch this node has verified its leases.
func (r *simRegistry) announce(ctx context.Context) error {
	vouched, left := r.vouched(), r.lastBeat+r.timing.NodeTTL()-r.now()
	if r.lastBeat < 0 || vouched == r.announced || left <= 0 {
		return nil
	}
	info := r.last
	err := r.call(ctx, func(s *server) error {
		if s.primary != nil {
			return errReadOnly
		}
		now := r.now()
		s.write(func(d *dataset) {
			l := d.lease(info.ID, now)
			if l == nil {
				l = &nodeLease{info: info}
				d.leases[info.ID] = l
			}
			l.vouched, l.expires = vouched, max(l.expires, now+left)
		})
		return nil
	})
	if err == nil {
		r.announced = vouched
	}
	return err
}

// noticeOutage makes all leases due for verification when Redis answers again.
func (r *simRegistry) noticeOutage(err error) {
	if err == nil && r.outage {
		r.hasty = true
		r.attend.Set()
	}
	r.outage = err != nil
}

// VerifyLeases verifies all leases soon.
func (r *simRegistry) VerifyLeases() {
	r.hasty = true
	r.attend.Set()
}

// see takes note of the epoch that Redis has answered with.
func (r *simRegistry) see(id uint64) {
	e, now := &r.epoch, r.now()
	if e.known && e.id == id {
		e.asked = now
		return
	}
	disturbed := e.known || len(r.held) > 0
	outage := e.known && now-e.asked >= r.silence()
	*e = epoch{id: id, known: true, seen: now, asked: now, settled: -1, renewed: disturbed, outage: outage, untold: disturbed, verified: !disturbed}
	r.tellChanged()
	if disturbed {
		r.host.world.record("%s meets epoch %x", r.host.id, id)
		r.events.OnDataLost()
		if r.epoch.id == id {
			r.epoch.untold = false
		}
		r.hasty = true
	}
	r.attend.Set()
}

func (r *simRegistry) tellChanged() {
	changed := r.changed
	r.changed = nil
	for _, s := range changed {
		s.Set()
	}
}

// AllSettled reports whether the last seen epoch is settled.
func (r *simRegistry) AllSettled() bool { return r.epoch.settled >= 0 }

func (r *simRegistry) settledIn(id uint64) bool { return r.epoch.id == id && r.AllSettled() }

// awaitSettled returns when the last seen epoch is settled.
func (r *simRegistry) awaitSettled(ctx context.Context) error {
	for !r.AllSettled() {
		s := newSignal(r.host.world)
		r.changed = append(r.changed, s)
		if s.Wait(ctx) != nil {
			return registry.ErrUnsettled
		}
	}
	return nil
}

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
	settled, ripe := false, e.ripe
	err := r.call(ctx, func(s *server) error {
		now := r.now()
		up := now - s.booted
		enough := minUptime
		if e.renewed {
			enough = max(enough, r.timing.NodeTTL())
		}
		ripe = ripe || up >= enough && (!e.outage || now-e.seen >= r.silence())
		settled = ripe && r.peersVerified(s, &e)
		return nil
	})
	if err != nil || r.epoch.id != e.id {
		return err
	}
	r.epoch.ripe = ripe
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
		_, sighted := slices.BinarySearchFunc(r.sighted, p.id, compareNodes)
		sighted = sighted && slices.ContainsFunc(r.sighted, func(x sighting) bool { return x.node == p.id && x.until > now })
		switch {
		case l != nil && l.vouched != e.id:
			return false
		case l == nil && (subscribes && patience || sighted):
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
	if !seen.untold && r.epoch.id == seen.id {
		r.epoch.verified = true
	}
	ctx, cancel := r.host.runtime.WithTimeout(r.ctx, r.operation())
	defer cancel()
	_ = r.announce(ctx) // the next beat does
	return true
}
