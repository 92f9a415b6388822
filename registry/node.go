package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// NodeInfo is what a node says about itself in its node lease.
type NodeInfo struct {
	ID       string
	URL      string // how others reach it: http://host:port of its client listener
	Version  string
	Started  time.Time
	Sessions int
	Draining bool
	Settings Settings  // that must be the same on all nodes
	Since    time.Time // it is in the cluster, by Redis' clock; Beat fills it in
}

// Node returns a node's lease; ok is false if it has none (dead or aged out). Of a lease
// that somebody else has overwritten the fields are zero.
func (r *Registry) Node(ctx context.Context, id string) (info NodeInfo, ok bool, err error) {
	var found []NodeInfo
	err = r.timed("nodes", func() error {
		found, err = r.readLeases(ctx, []string{id})
		return err
	})
	if err != nil {
		return NodeInfo{}, false, fmt.Errorf("read node %s: %w", quoted(id), err)
	}
	if len(found) == 0 {
		return NodeInfo{}, false, nil
	}
	return found[0], true, nil
}

// Leased reports which of nodes have a lease, in their order, in one round trip.
func (r *Registry) Leased(ctx context.Context, nodes []string) ([]bool, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	pipe := r.rdb.Pipeline()
	cmds := make([]*redis.IntCmd, len(nodes))
	for i, node := range nodes {
		cmds[i] = pipe.Exists(ctx, r.keys.Node(node))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	leased := make([]bool, len(nodes))
	for i, cmd := range cmds {
		leased[i] = cmd.Val() > 0
	}
	return leased, nil
}

// Nodes returns the live nodes in the order of their IDs, 1,024 at most, and strikes those
// off the list that have been without a lease for longer than its TTL.
func (r *Registry) Nodes(ctx context.Context) (nodes []NodeInfo, err error) {
	err = r.timed("nodes", func() error {
		nodes, err = r.nodes(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return nodes, nil
}

func (r *Registry) nodes(ctx context.Context) ([]NodeInfo, error) {
	list, err := r.listNodes(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := r.readLeases(ctx, list.ids())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int { return strings.Compare(a.ID, b.ID) })
	oldest := list.now - float64(r.timing.NodeTTL().Milliseconds())
	var gone []any
	for _, n := range list.listed {
		_, lives := slices.BinarySearchFunc(nodes, n.id, func(have NodeInfo, id string) int { return strings.Compare(have.ID, id) })
		if !lives && n.beat < oldest {
			gone = append(gone, n.id)
		}
	}
	// A lease that says nothing of a node is somebody else's.
	nodes = slices.DeleteFunc(nodes, func(n NodeInfo) bool { return n.Started.UnixMilli() == 0 })
	if len(gone) == 0 {
		return nodes, nil
	}
	return nodes, r.rdb.ZRem(ctx, r.keys.Nodes(), gone...).Err()
}
