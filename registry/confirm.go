package registry

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ConfirmAbsent reports whether the empty answer to a lookup of address proves that nobody
// owns it. The lookup must have been sent before the call, by not more than half a
// heartbeat. It costs one command on address's Redis master while all is well; calls
// at the same time share it.
func (r *Registry) ConfirmAbsent(ctx context.Context, address string) (bool, error) {
	master, id, err := r.voucher(ctx, r.keys.Address(address))
	if err != nil {
		return false, err
	}
	if r.provesAbsence(master, id) {
		return true, nil
	}
	if err := r.countPeers(ctx, master); err != nil {
		return false, err
	}
	return r.provesAbsence(master, id), nil
}

func (r *Registry) provesAbsence(master, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs.provesAbsence(master, id, time.Now())
}

// ConfirmUnreceived reports whether a PUBLISH on a node's private channel, made after since,
// that returned 0 proves that the node did not receive it. Right after a failover it
// does not: the node may still be subscribed to the former master, if that became a
// replica. The node finds that out by its beats within the life of a node lease, or has
// no lease any more.
func (r *Registry) ConfirmUnreceived(ctx context.Context, node string, since time.Time) (bool, error) {
	key := r.keys.Channel(node)
	master, id, err := r.voucher(ctx, key)
	if err != nil {
		return false, err
	}
	r.mu.Lock()
	settled := r.epochs.isSettled(master, id)
	young := r.epochs.any(master, func(e *epoch) bool { return since.Sub(e.detectedAt) < r.timing.NodeTTL() })
	r.mu.Unlock()
	if !settled || !young {
		return settled, nil
	}
	return r.neverReplicated(ctx, master, key)
}

// voucher returns the master, or allMasters, that vouches for what Redis has answered about
// key in the last half of a heartbeat, and the epoch it is in.
func (r *Registry) voucher(ctx context.Context, key string) (master, epoch string, err error) {
	if master, err = r.masters.tag(ctx, key); err != nil {
		return "", "", err
	}
	epoch, err = r.passBarrier(ctx, master)
	if err == nil && !r.slotsRestedFor(r.timing.Heartbeat/2) { // the answer may have been redirected
		master = allMasters
		epoch, err = r.passBarrier(ctx, master)
	}
	return master, epoch, err
}

// neverReplicated reports whether the master that holds key, or for allMasters each master,
// has no replicas, and was no replica itself as far as it knows: it does not keep the
// replication ID of a former master, which it forgets when it is started again.
func (r *Registry) neverReplicated(ctx context.Context, master, key string) (bool, error) {
	var replicated atomic.Bool
	look := func(ctx context.Context, m redis.UniversalClient) error {
		text, _, err := info(ctx, m, "replication")
		for _, want := range []string{"role:master\r", "connected_slaves:0\r", "second_repl_offset:-1\r"} {
			if !strings.Contains(text, want) {
				replicated.Store(true)
			}
		}
		return err
	}
	if master == allMasters {
		err := r.redis.EachMaster(ctx, look)
		return err == nil && !replicated.Load(), err
	}
	m, err := r.redis.MasterOf(ctx, key)
	if err == nil {
		err = look(ctx, m)
	}
	return err == nil && !replicated.Load(), err
}
