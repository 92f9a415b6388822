package registry

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Beat writes this node's lease, lists the node, and reads the epochs. The router calls it
// once a heartbeat while this node hears its private channel. While no node beats the
// epochs end, because leases may have ended. info's ID and Since are ignored.
func (r *Registry) Beat(ctx context.Context, info NodeInfo) error {
	info.ID = r.opts.NodeID
	err := r.timed("beat", func() error { return r.beat(ctx, info) })
	r.noticeOutage(err)
	if err != nil {
		r.noteTrouble(err)
		return fmt.Errorf("beat: %w", err)
	}
	r.noteTrouble(r.tryClaim(ctx))
	// Other nodes wait until this one vouches for the epochs, and it waits for them.
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
	if err := r.learnSilence(ctx); err != nil {
		return err
	}
	byTag, calls := r.epochCalls(tags)
	vouched, now := r.vouched(), time.Now()
	lease := r.nodeCall("beat", info, vouched, r.timing.NodeTTL())
	read := r.nodesToRead()
	list := r.listCall(r.opts.NodeID, read)
	err = r.redis.Run(ctx, append(calls, lease, list))
	r.noteOwnLease(lease)
	if err != nil {
		return err
	}
	if err := r.noteNodeList(ctx, info, list, read > 0); err != nil {
		return err
	}
	r.beats.Lock()
	leaseLost := r.beats.leaseLost || !r.beats.lastBeat.IsZero() && now.Sub(r.beats.lastBeat) >= r.timing.NodeTTL()
	if !r.beats.lastBeat.IsZero() && now.Sub(r.beats.lastBeat) >= r.timing.silence() {
		r.beats.resumed = now
	}
	r.beats.last, r.beats.lastBeat, r.beats.announced, r.beats.leaseLost = info, now, vouched, false
	r.beats.Unlock()
	err = r.noteEpochAnswers(byTag)
	if leaseLost {
		r.events.OnLeaseLost()
		r.VerifyLeases()
	}
	return err
}

// noteOwnLease takes note of whether the node lease was missing when it was written. The
// next beat that succeeds acts on it.
func (r *Registry) noteOwnLease(lease *redisconn.Call) {
	reply, err := lease.Cmd.Slice()
	if err != nil || len(reply) < 2 {
		return
	}
	added, _ := reply[0].(int64)
	since, _ := reply[1].(string)
	if len(reply) > 2 {
		r.logOverwritten(r.keys.Node(r.opts.NodeID), fmt.Sprint(reply[2]))
	}
	r.beats.Lock()
	defer r.beats.Unlock()
	r.beats.leaseLost = r.beats.leaseLost || !r.beats.lastBeat.IsZero() && added > 0
	r.beats.since, _ = strconv.ParseInt(since, 10, 64)
}

// nodeCall writes a node lease that lives for ttl at least; what is "beat" or "epochs".
func (r *Registry) nodeCall(what string, info NodeInfo, vouched string, ttl time.Duration) *redisconn.Call {
	r.beats.Lock()
	since := r.beats.since
	r.beats.Unlock()
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

// announce writes into the node lease which epochs this node vouches for, if the lease says
// something else. The lease may have been lost with the epoch before; then it gets the
// time that was left of it and no more, because only Beat proves that this node hears.
func (r *Registry) announce(ctx context.Context) error {
	vouched := r.vouched()
	r.beats.Lock()
	info, left, stale := r.beats.last, time.Until(r.beats.lastBeat.Add(r.timing.NodeTTL())), r.beats.announced != vouched
	r.beats.Unlock()
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
	r.beats.Lock()
	defer r.beats.Unlock()
	r.beats.announced = vouched
	return nil
}
