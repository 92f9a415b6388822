package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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
}

// Beat writes this node's lease, lists it, and looks at the epoch. It is called
// once a heartbeat while this node hears its private channel: without any node's
// beats the epoch ends, because leases may have. info.ID is ignored.
func (r *Registry) Beat(ctx context.Context, info NodeInfo) error {
	info.ID = r.opts.NodeID
	err := r.timed("beat", func() error { return r.beat(ctx, info) })
	r.noticeOutage(err)
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	// Peers wait for what this node vouches for, and it for them.
	if err := r.announce(ctx); err != nil {
		return fmt.Errorf("beat: announce epoch: %w", err)
	}
	if !r.Undisturbed() {
		if _, err := r.settleAll(ctx); err != nil {
			r.log.Debug("epoch could not be settled", "error", err) // the lease is written all the same
		}
	}
	return nil
}

func (r *Registry) beat(ctx context.Context, info NodeInfo) error {
	tags, err := r.masters.find(ctx)
	if err != nil {
		return err
	}
	r.keepMasters(tags)
	byTag, calls := r.epochCalls(tags)
	vouched, now := r.vouched(), time.Now()
	lease := r.nodeCall("beat", info, vouched, r.timing.NodeTTL())
	around := r.looksAround()
	var nodes *redis.ZSliceCmd
	err = r.run(ctx, append(calls, lease), func(pipe redis.Pipeliner) {
		r.enlist(ctx, pipe)
		if around {
			nodes = pipe.ZRangeWithScores(ctx, r.keys.Nodes(), 0, -1)
		}
	})
	r.noticeLapse(lease)
	if err != nil {
		return err
	}
	if nodes != nil {
		r.sight(nodes.Val())
		r.strikeOff(ctx, nodes.Val())
	}
	r.beatMu.Lock()
	lapsed := r.lapsed || !r.lastBeat.IsZero() && now.Sub(r.lastBeat) >= r.timing.NodeTTL()
	r.last, r.lastBeat, r.announced, r.lapsed = info, now, vouched, false
	r.beatMu.Unlock()
	err = r.seeAll(byTag)
	if lapsed {
		r.events.Disturbed() // meanwhile claims did not wait for this node
		r.Lapsed()
	}
	return err
}

// noticeLapse looks whether the node lease was missing when it was written, which the
// next beat that succeeds acts on.
func (r *Registry) noticeLapse(lease *call) {
	added, err := lease.cmd.Int()
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.lapsed = r.lapsed || !r.lastBeat.IsZero() && err == nil && added > 0
}

// nodeCall writes a node lease that lives for ttl at least; what is "beat" or "epochs".
func (r *Registry) nodeCall(what string, info NodeInfo, vouched string, ttl time.Duration) *call {
	return newCall(nodeScript, []string{r.keys.Node(info.ID)}, ttl.Milliseconds(), vouched, what,
		"url", info.URL,
		"version", info.Version,
		"started", info.Started.UnixMilli(),
		"sessions", info.Sessions,
		"draining", info.Draining)
}

// enlist has this node among those that others look for.
func (r *Registry) enlist(ctx context.Context, pipe redis.Pipeliner) {
	pipe.ZAdd(ctx, r.keys.Nodes(), redis.Z{Score: float64(time.Now().UnixMilli()), Member: r.opts.NodeID})
}

// announce has the node lease say which epochs this node vouches for, if they are others
// than it says. The lease may have been lost with the epoch before; then it
// gets the time that was left of it and no more, because only Beat proves that
// this node hears.
func (r *Registry) announce(ctx context.Context) error {
	vouched := r.vouched()
	r.beatMu.Lock()
	info, left, stale := r.last, time.Until(r.lastBeat.Add(r.timing.NodeTTL())), r.announced != vouched
	r.beatMu.Unlock()
	if !stale || left <= 0 {
		return nil
	}
	err := r.timed("beat", func() error {
		lease := r.nodeCall("epochs", info, vouched, left)
		return r.run(ctx, []*call{lease}, func(pipe redis.Pipeliner) { r.enlist(ctx, pipe) })
	})
	if err != nil {
		return err
	}
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.announced = vouched
	return nil
}

// Node returns a node's lease; ok is false if it has none (dead or aged out).
func (r *Registry) Node(ctx context.Context, id string) (info NodeInfo, ok bool, err error) {
	var fields map[string]string
	err = r.timed("nodes", func() error {
		fields, err = r.rdb.HGetAll(ctx, r.keys.Node(id)).Result()
		return err
	})
	if err != nil {
		return NodeInfo{}, false, fmt.Errorf("read node %s: %w", id, err)
	}
	if len(fields) == 0 {
		return NodeInfo{}, false, nil
	}
	return parseNode(id, fields), true, nil
}

func parseNode(id string, fields map[string]string) NodeInfo {
	started, _ := strconv.ParseInt(fields["started"], 10, 64)
	sessions, _ := strconv.Atoi(fields["sessions"])
	draining, _ := strconv.ParseBool(fields["draining"])
	return NodeInfo{
		ID:       id,
		URL:      fields["url"],
		Version:  fields["version"],
		Started:  time.UnixMilli(started),
		Sessions: sessions,
		Draining: draining,
	}
}

// Nodes returns all live nodes in the order of their IDs, and strikes those off
// the list that have been without a lease for longer than its TTL.
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
	list, err := r.rdb.ZRangeWithScores(ctx, r.keys.Nodes(), 0, -1).Result()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	pipe := r.rdb.Pipeline()
	leases := make([]*redis.MapStringStringCmd, len(list))
	for i, z := range list {
		leases[i] = pipe.HGetAll(ctx, r.keys.Node(z.Member.(string)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var nodes []NodeInfo
	var gone []any
	oldest := float64(time.Now().Add(-r.timing.NodeTTL()).UnixMilli())
	for i, z := range list {
		if fields := leases[i].Val(); len(fields) > 0 {
			nodes = append(nodes, parseNode(z.Member.(string), fields))
		} else if z.Score < oldest {
			gone = append(gone, z.Member)
		}
	}
	slices.SortFunc(nodes, func(a, b NodeInfo) int { return strings.Compare(a.ID, b.ID) })
	if len(gone) == 0 {
		return nodes, nil
	}
	return nodes, r.rdb.ZRem(ctx, r.keys.Nodes(), gone...).Err()
}

// Bury removes the node lease of a node that was found dead. Its entries are
// pruned by whoever meets them.
func (r *Registry) Bury(ctx context.Context, id string) error {
	err := r.timed("nodes", func() error {
		_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Del(ctx, r.keys.Node(id))
			pipe.ZRem(ctx, r.keys.Nodes(), id)
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("bury node %s: %w", id, err)
	}
	return nil
}

// Dead tells whether a node's lease has ended for sure: it is missing, and no master
// just lost it with an earlier epoch, or kept its node from writing it.
func (r *Registry) Dead(ctx context.Context, id string) (bool, error) {
	live, sure, err := r.alive(ctx, []Owner{{NodeID: id}})
	if err != nil || !sure || live[id] {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.epochs {
		if e.renewed && time.Since(e.seen) < r.timing.NodeTTL() {
			return false, nil
		}
	}
	return true, nil
}

// alive tells which of owners' nodes have a lease. It is sure only if the epochs of all
// masters were still settled afterwards: without that a missing lease may be a lost
// one, or one that its node can't write, because a master that it needs to hear, or to
// beat, is away.
func (r *Registry) alive(ctx context.Context, owners []Owner) (live map[string]bool, sure bool, err error) {
	keys := make([]string, len(owners))
	for i, o := range owners {
		keys[i] = r.keys.Node(o.NodeID)
	}
	before := r.slots.noticed()
	tags, err := r.masters.find(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("look at owners' nodes: %w", err)
	}
	byMaster, calls := r.epochCalls(tags)
	exists := make([]*redis.IntCmd, len(owners))
	err = r.timed("nodes", func() error {
		_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, key := range keys {
				exists[i] = pipe.Exists(ctx, key)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return r.run(ctx, calls, nil)
	})
	if err != nil {
		return nil, false, fmt.Errorf("look at owners' nodes: %w", err)
	}
	if err := r.seeAll(byMaster); err != nil {
		return nil, false, err
	}
	live, sure = map[string]bool{r.opts.NodeID: true}, r.slots.noticed().moves == before.moves
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, o := range owners {
		live[o.NodeID] = live[o.NodeID] || exists[i].Val() == 1
	}
	for tag, c := range byMaster {
		id, _ := c.cmd.Text()
		sure = sure && r.settledIn(tag, id)
	}
	return live, sure, nil
}
