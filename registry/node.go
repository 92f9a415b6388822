package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
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

// Beat writes this node's lease, lists it, and looks at the epoch. It is called
// once a heartbeat while this node hears its private channel: without any node's
// beats the epoch ends, because leases may have. info's ID and Since are ignored.
func (r *Registry) Beat(ctx context.Context, info NodeInfo) error {
	info.ID = r.opts.NodeID
	err := r.timed("beat", func() error { return r.beat(ctx, info) })
	r.noticeOutage(err)
	if err != nil {
		r.noteTrouble(err)
		return fmt.Errorf("beat: %w", err)
	}
	r.noteTrouble(r.tryClaim(ctx))
	// Peers wait for what this node vouches for, and it for them.
	if err := r.announce(ctx); err != nil {
		return fmt.Errorf("beat: announce epoch: %w", err)
	}
	if !r.AllSettled() {
		if _, err := r.countAllPeers(ctx); err != nil {
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
	if err := r.meetCluster(ctx); err != nil {
		return err
	}
	byTag, calls := r.epochCalls(tags)
	vouched, now := r.vouched(), time.Now()
	lease := r.nodeCall("beat", info, vouched, r.timing.NodeTTL())
	read := r.nodesToRead()
	list := r.listCall(r.opts.NodeID, read)
	err = r.redis.Run(ctx, append(calls, lease, list))
	r.noticeLapse(lease)
	if err != nil {
		return err
	}
	if err := r.noteNodeList(ctx, info, list, read > 0); err != nil {
		return err
	}
	r.beatMu.Lock()
	lapsed := r.lapsed || !r.lastBeat.IsZero() && now.Sub(r.lastBeat) >= r.timing.NodeTTL()
	if !r.lastBeat.IsZero() && now.Sub(r.lastBeat) >= r.timing.silence() {
		r.resumed = now
	}
	r.last, r.lastBeat, r.announced, r.lapsed = info, now, vouched, false
	r.beatMu.Unlock()
	err = r.noteEpochAnswers(byTag)
	if lapsed {
		r.events.OnLeaseLost()
		r.VerifyLeases()
	}
	return err
}

// noticeLapse looks whether the node lease was missing when it was written, which the
// next beat that succeeds acts on.
func (r *Registry) noticeLapse(lease *redisconn.Call) {
	reply, err := lease.Cmd.Slice()
	if err != nil || len(reply) < 2 {
		return
	}
	added, _ := reply[0].(int64)
	since, _ := reply[1].(string)
	if len(reply) > 2 {
		r.logOverwritten(r.keys.Node(r.opts.NodeID), fmt.Sprint(reply[2]))
	}
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.lapsed = r.lapsed || !r.lastBeat.IsZero() && added > 0
	r.since, _ = strconv.ParseInt(since, 10, 64)
}

// nodeCall writes a node lease that lives for ttl at least; what is "beat" or "epochs".
func (r *Registry) nodeCall(what string, info NodeInfo, vouched string, ttl time.Duration) *redisconn.Call {
	r.beatMu.Lock()
	since := r.since
	r.beatMu.Unlock()
	return nodeScript.Call([]string{r.keys.Node(info.ID)}, ttl.Milliseconds(), r.timing.NodeTTL().Milliseconds(),
		vouched, since, what,
		"url", info.URL,
		"version", info.Version,
		"started", info.Started.UnixMilli(),
		"sessions", info.Sessions,
		"draining", info.Draining,
		"delivery", info.Settings.Delivery,
		"duplicates", string(info.Settings.Duplicates),
		"heartbeat", info.Settings.Heartbeat.Milliseconds(),
		"envelopes", info.Settings.Envelopes.orFirst().String(),
		"keys", info.Settings.Keys)
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
		return r.redis.Run(ctx, []*redisconn.Call{lease, r.listCall(r.opts.NodeID, 0)})
	})
	if err != nil {
		return err
	}
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	r.announced = vouched
	return nil
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

// RemoveNode removes the lease of a node that was found dead. The node's entries stay
// until they are pruned by a node that meets them.
func (r *Registry) RemoveNode(ctx context.Context, id string) error {
	err := r.timed("nodes", func() error {
		_, err := r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Del(ctx, r.keys.Node(id))
			pipe.ZRem(ctx, r.keys.Nodes(), id)
			return nil
		})
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil // the list is not one; the next beat replaces it
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove node %s: %w", id, err)
	}
	return nil
}

// ConfirmDead reports whether a node's lease is certain to have ended: it is missing, and
// no master lost it with an earlier epoch, or kept the node from writing it.
func (r *Registry) ConfirmDead(ctx context.Context, id string) (bool, error) {
	live, sure, err := r.alive(ctx, []Owner{{NodeID: id}})
	if err != nil || !sure || live[id] || !r.beatsOn() {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.epochs.beganLately(time.Now()), nil
}

// beatsOn tells whether what kept this node from beating, such as a right that it lost,
// may not have kept others from it: it has not missed a beat, or has beaten again for as
// long as others may need for it. Where all stop at once, the lease that ends first does so
// a heartbeat before the last one at the most, when nobody has beaten for silence. A
// node that has not begun to beat yet knows of nothing.
func (r *Registry) beatsOn() bool {
	r.beatMu.Lock()
	defer r.beatMu.Unlock()
	return r.lastBeat.IsZero() ||
		time.Since(r.lastBeat) < r.timing.silence() && time.Since(r.resumed) >= r.timing.NodeTTL()
}

// alive tells which of owners' nodes have a lease. It is sure only if the epochs of all
// masters were still settled afterwards: without that a missing lease may be a lost
// one, or one that its node can't write, because a master that it needs to hear, or to
// beat, is away.
func (r *Registry) alive(ctx context.Context, owners []Owner) (live map[string]bool, sure bool, err error) {
	ids := make([]string, len(owners))
	for i, o := range owners {
		ids[i] = o.NodeID
	}
	before := r.redis.SlotShifts()
	tags, err := r.masters.find(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("look at owners' nodes: %w", err)
	}
	byMaster, calls := r.epochCalls(tags)
	var says map[string]int64
	err = r.timed("nodes", func() error {
		if says, err = r.vouchesOf(ctx, ids, ""); err != nil {
			return err
		}
		return r.redis.Run(ctx, calls)
	})
	if err != nil {
		return nil, false, fmt.Errorf("look at owners' nodes: %w", err)
	}
	if err := r.noteEpochAnswers(byMaster); err != nil {
		return nil, false, err
	}
	live, sure = map[string]bool{r.opts.NodeID: true}, r.redis.SlotShifts().Moves == before.Moves
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, what := range says {
		live[id] = live[id] || what != leaseMissing
	}
	for tag, c := range byMaster {
		id, _, _ := parseEpoch(c)
		sure = sure && r.epochs.isSettled(tag, id)
	}
	return live, sure, nil
}
