package simulation

import (
	"context"
	"slices"

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
	var seen []lastSeen
	err := r.call(ctx, func(s *server) (err error) {
		if id, err = s.readEpoch(r.silence()); err != nil {
			return err
		}
		now := r.now()
		added = s.data.lease(info.ID, now) == nil
		s.write(func(d *dataset) { d.leases[info.ID] = &nodeLease{info, vouched, now + r.timing.NodeTTL()} })
		for _, node := range s.data.listed(now) {
			seen = append(seen, lastSeen{node: node, lease: s.data.lease(node, now).expires})
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.noteSeen(seen)
	leaseLost := r.leaseLost || r.lastBeat >= 0 && (added || began-r.lastBeat >= r.timing.NodeTTL())
	if r.lastBeat >= 0 && began-r.lastBeat >= r.silence() {
		r.resumed = began
	}
	r.last, r.lastBeat, r.announced, r.leaseLost = info, began, vouched, false
	r.see(id)
	if leaseLost {
		r.events.OnLeaseLost()
		r.VerifyLeases()
	}
	return nil
}

// noteSeen remembers nodes that have beaten since this node looked last, until a lease has ended
// that they wrote just afterwards.
func (r *simRegistry) noteSeen(seen []lastSeen) {
	for _, s := range seen {
		i, found := slices.BinarySearchFunc(r.seen, s.node, compareNodes)
		if !found {
			r.seen = slices.Insert(r.seen, i, s)
		}
		if !found || r.seen[i].lease != s.lease {
			r.seen[i].lease, r.seen[i].until = s.lease, r.now()+r.timing.NodeTTL()
		}
	}
	r.seen = slices.DeleteFunc(r.seen, func(s lastSeen) bool { return s.until <= r.now() })
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
	*e = epoch{id: id, known: true, seen: now, asked: now, settled: -1, renewed: disturbed, outage: outage, unannounced: disturbed, verified: !disturbed}
	r.tellChanged()
	if disturbed {
		r.host.world.record("%s meets epoch %x", r.host.id, id)
		r.events.OnDataLost()
		if r.epoch.id == id {
			r.epoch.unannounced = false
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
