package simulation

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// Nodes.

// RemoveNode removes the lease of a node.
func (r *simRegistry) RemoveNode(ctx context.Context, id string) error {
	return r.call(ctx, func(s *server) error {
		if s.primary != nil {
			return errReadOnly
		}
		r.host.world.record("%s removes the lease of %s", r.host.id, id)
		s.write(func(d *dataset) { delete(d.leases, id) })
		return nil
	})
}

// Node returns a node's lease.
func (r *simRegistry) Node(ctx context.Context, id string) (info registry.NodeInfo, ok bool, err error) {
	err = r.call(ctx, func(s *server) error {
		if l := s.data.lease(id, r.now()); l != nil {
			info, ok = l.info, true
		}
		return nil
	})
	if err != nil {
		return registry.NodeInfo{}, false, err
	}
	return info, ok, nil
}

// Nodes returns the live nodes in order.
func (r *simRegistry) Nodes(ctx context.Context) (nodes []registry.NodeInfo, err error) {
	err = r.call(ctx, func(s *server) error {
		for _, node := range s.data.listed(r.now()) {
			nodes = append(nodes, s.data.lease(node, r.now()).info)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return nodes, nil
}

// Leased reports which nodes have a lease.
func (r *simRegistry) Leased(ctx context.Context, nodes []string) ([]bool, error) {
	leased := make([]bool, len(nodes))
	err := r.call(ctx, func(s *server) error {
		for i, node := range nodes {
			leased[i] = s.data.lease(node, r.now()) != nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return leased, nil
}

// alive reports which nodes have a lease, and whether that is sure: the epoch was settled
// afterwards.
func (r *simRegistry) alive(ctx context.Context, nodes []string) (live map[string]bool, sure bool, err error) {
	leased, id := make([]bool, len(nodes)), uint64(0)
	err = r.call(ctx, func(s *server) (err error) {
		for i, node := range nodes {
			leased[i] = s.data.lease(node, r.now()) != nil
		}
		id, err = s.readEpoch(r.silence())
		return err
	})
	if err != nil {
		return nil, false, err
	}
	r.see(id)
	live = map[string]bool{r.host.id: true}
	for i, node := range nodes {
		live[node] = live[node] || leased[i]
	}
	return live, r.settledIn(id) && !r.host.cluster.slotsMoved(r.timing.Heartbeat/2), nil
}

// ConfirmDead reports whether a node's lease is certain to have ended.
func (r *simRegistry) ConfirmDead(ctx context.Context, id string) (bool, error) {
	live, sure, err := r.alive(ctx, []string{id})
	if err != nil || !sure || live[id] || !r.beatsOn() {
		return false, err
	}
	return !r.epoch.renewed || r.now()-r.epoch.seen >= r.timing.NodeTTL(), nil
}

func (r *simRegistry) beatsOn() bool {
	return r.lastBeat < 0 || r.now()-r.lastBeat < r.silence() && (r.resumed == 0 || r.now()-r.resumed >= r.timing.NodeTTL())
}

// ConfirmUnreceived reports whether a PUBLISH that was counted for nobody proves that the
// node did not receive it.
func (r *simRegistry) ConfirmUnreceived(ctx context.Context, _ string, since time.Time) (bool, error) {
	id, err := r.readEpoch(ctx)
	if err != nil {
		return false, err
	}
	began := r.now() - r.host.now().Sub(since)
	settled, young := r.settledIn(id), began-r.epoch.seen < r.timing.NodeTTL()
	if !settled || !young {
		return settled, nil
	}
	alone := false
	err = r.call(ctx, func(s *server) error {
		alone = s.primary == nil && len(s.replicas) == 0 && s.began == s.booted
		return nil
	})
	return alone && err == nil, err
}
