package registry

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

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
	live, certain, err := r.liveNodes(ctx, []Owner{{NodeID: id}})
	if err != nil || !certain || live[id] || !r.beatsSteadily() {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.epochs.beganLately(time.Now()), nil
}

// beatsSteadily reports whether this node has missed no beat, or has beaten again for as
// long as other nodes may need for it. If it has missed one, the reason, such as a right
// that it lost, may have kept others from beating as well. If all nodes stop at once, the
// lease that ends first ends at most a heartbeat before the last one, when no node has
// beaten for Timing.silence. A node that has not begun to beat knows of no trouble.
func (r *Registry) beatsSteadily() bool {
	r.beats.Lock()
	defer r.beats.Unlock()
	return r.beats.lastBeat.IsZero() ||
		time.Since(r.beats.lastBeat) < r.timing.silence() && time.Since(r.beats.resumed) >= r.timing.NodeTTL()
}

// liveNodes returns which of owners' nodes have a lease. That the others are dead is
// certain only if the epochs of all masters were still settled afterwards. Otherwise a
// missing lease may be lost, or its node may be unable to write it, because a master that
// it needs in order to hear or to beat is away.
func (r *Registry) liveNodes(ctx context.Context, owners []Owner) (live map[string]bool, certain bool, err error) {
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
	live, certain = map[string]bool{r.opts.NodeID: true}, r.redis.SlotShifts().Moves == before.Moves
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, what := range says {
		live[id] = live[id] || what != leaseMissing
	}
	for tag, c := range byMaster {
		id, _, _ := parseEpoch(c)
		certain = certain && r.epochs.isSettled(tag, id)
	}
	return live, certain, nil
}
