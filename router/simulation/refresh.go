package simulation

import (
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// refresh extends leases, and claims again those that are missing.
func (r *simRegistry) refresh(leases []*claim) error {
	leases = slices.Clone(leases)
	var missing, lost []*claim
	err := r.call(r.ctx, func(s *server) error {
		if s.primary != nil {
			return errReadOnly
		}
		now := r.now()
		for _, c := range leases {
			switch token, ok := s.data.token(c.address, r.host.id, now); {
			case ok && token == c.number:
				s.write(func(d *dataset) {
					if o := d.owners[c.address]; o != nil {
						o.expires = now + r.timing.LeaseTTL()
					}
				})
			case ok && token > c.number:
				lost = append(lost, c)
			default:
				missing = append(missing, c)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range lost {
		r.lose(c)
	}
	return r.reclaim(missing)
}

func (r *simRegistry) lose(c *claim) {
	if r.forget(c.lease) != nil {
		r.host.world.record("%s has lost %s as %d", r.host.id, c.address, c.number)
		r.events.OnEvicted(c.lease)
	}
}

// reclaimRounds is as in package registry.
const reclaimRounds = 5

// reclaim writes entries that are missing again, with the same tokens.
func (r *simRegistry) reclaim(missing []*claim) (failed error) {
	type lost struct {
		held *claim
		rule registry.Duplicates
	}
	var waiting []lost
	for _, c := range missing {
		rule := registry.Allow
		if c.rule != registry.Allow {
			rule = registry.Reject
		}
		waiting = append(waiting, lost{c, rule})
	}
	for range reclaimRounds {
		var again []lost
		for _, x := range waiting {
			if r.lease(x.held.lease) != x.held {
				continue // released meanwhile
			}
			answered := newSignal(r.host.world)
			c := &claim{lease: x.held.lease, address: x.held.address, number: x.held.number, rule: x.rule, again: true, answered: answered.Set}
			r.queue(c)
			if err := answered.Wait(r.ctx); err != nil {
				return err
			}
			switch {
			case c.err != nil:
				failed = c.err
			case c.verdict == written && r.lease(x.held.lease) == x.held:
				r.events.OnRestored(x.held.lease, c.others)
			case c.verdict == written:
				r.release(release{address: c.address, number: c.number})
			case c.verdict == superseded:
				r.lose(x.held)
			default:
				live, sure, err := r.alive(r.ctx, nodesOf(c.others))
				switch {
				case err != nil:
					return err
				case !sure || !r.settledIn(c.epoch):
					x.rule = registry.Allow
				case slices.ContainsFunc(c.others, func(o registry.Owner) bool { return live[o.NodeID] }):
					r.lose(x.held)
					continue
				default:
					if err := r.Prune(r.ctx, c.address, c.others...); err != nil {
						return err
					}
				}
				again = append(again, x)
			}
		}
		if waiting = again; len(waiting) == 0 {
			break
		}
	}
	return failed
}
