package router

import (
	"context"
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// maxStrangers is how many nodes that are no peers an address may have among its
// owners before it is asked which of them live. Each would be a peer, and probed until it
// is found dead. More than a few are the owners of a client with sessions on
// many nodes, or entries that somebody has made up.
const maxStrangers = 16

// nodeSet is a set of nodes, by their IDs.
type nodeSet map[string]struct{}

// revive looks again at the dead peers among the owners that lookups found. It returns those
// that have no lease now either. The others were unsubscribed or frozen for longer than
// their lease, and came back: they are alive.
func (r *Router) revive(ctx context.Context, lookups []registry.Answer) nodeSet {
	found := r.deadAmong(lookups)
	leased, err := r.reg.Leased(ctx, found)
	dead := make(nodeSet)
	for i, node := range found {
		if err == nil && !leased[i] {
			dead[node] = struct{}{}
			continue
		}
		if p := r.peers.lock(node); p != nil {
			p.onLocked(r, leaseFound)
			p.changedLocked(r)
			p.mu.Unlock()
		}
	}
	return dead
}

func (r *Router) deadAmong(lookups []registry.Answer) (nodes []string) {
	if r.peers.troubled.Load() == 0 {
		return nil
	}
	for _, l := range lookups {
		for _, o := range l.Owners {
			if r.peers.isDead(o.NodeID) && !slices.Contains(nodes, o.NodeID) {
				nodes = append(nodes, o.NodeID)
			}
		}
	}
	return nodes
}

// meetStrangers finds out which strangers among many owners of an address are dead. It is
// not sure while the registry is not settled; then nothing is known of these owners.
func (r *Router) meetStrangers(ctx context.Context, owners []registry.Owner) (dead nodeSet, sure bool) {
	strangers := r.strangersAmong(owners)
	if len(strangers) <= maxStrangers {
		return nil, true
	}
	leased, err := r.reg.Leased(ctx, strangers)
	if err != nil {
		return nil, false
	}
	dead, last := make(nodeSet), ""
	for i, node := range strangers {
		if !leased[i] {
			dead[node], last = struct{}{}, node
		}
	}
	if last == "" {
		return nil, true
	}
	// If one of them is confirmed to be dead, the registry had lost nothing when all were
	// looked at: so the others that have no lease are dead, too.
	sure, err = r.reg.ConfirmDead(ctx, last)
	return dead, sure && err == nil
}

func (r *Router) strangersAmong(owners []registry.Owner) (nodes []string) {
	if len(owners) <= maxStrangers {
		return nil
	}
	for _, o := range owners {
		if r.peers.get(o.NodeID) == nil && o.NodeID != r.opts.NodeID {
			nodes = append(nodes, o.NodeID)
		}
	}
	return nodes
}

// crowd is the owners of an address that are many.
type crowd struct {
	dead   nodeSet
	unsure bool
}

// crowds looks at the owners that lookups found for addresses with many of them.
func (r *Router) crowds(ctx context.Context, lookups []registry.Answer) (all map[int]crowd) {
	for i, l := range lookups {
		if len(l.Owners) <= maxStrangers {
			continue
		}
		if dead, sure := r.meetStrangers(ctx, l.Owners); len(dead) > 0 || !sure {
			if all == nil {
				all = make(map[int]crowd)
			}
			all[i] = crowd{dead, !sure}
		}
	}
	return all
}

// withoutDead leaves out the owners on nodes that are dead for sure, and has their
// entries pruned. While that is not sure it returns all.
func (r *Router) withoutDead(ctx context.Context, address string, owners []registry.Owner) []registry.Owner {
	dead, sure := r.meetStrangers(ctx, owners)
	if !sure || len(dead) == 0 {
		return owners
	}
	return slices.DeleteFunc(slices.Clone(owners), func(o registry.Owner) bool {
		_, gone := dead[o.NodeID]
		if gone {
			r.pruneDead(address, o)
		}
		return gone
	})
}
