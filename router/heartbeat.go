package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router/link"
)

// A heartbeat is two proofs in a row: a probe that this node publishes to its own
// private channel must come back, and only then is the node lease refreshed. A
// node that is unsubscribed must age out, not look alive.

// runHeartbeat beats once an interval. A beat that fails is made again soon: if the
// network has swallowed something, the node lease must not end before a connection
// that works is found.
func (r *Router) runHeartbeat(ctx context.Context) {
	every := r.reg.Timing().Heartbeat
	next := r.runtime.AfterFunc(every, r.beatDue.Set)
	defer next.Stop()
	for r.beatDue.Wait(ctx) == nil {
		began := r.now()
		next.Reset(every)
		if err := r.beat(ctx, every/2); err != nil && ctx.Err() == nil {
			r.log.Debug("heartbeat failed", "error", err)
			next.Reset(max(began.Add(every/2).Sub(r.now()), every/8))
		}
	}
}

// beat probes the private channel and refreshes the node lease. A probe that does
// not come back in time means that the subscription is dead, however open its
// connection looks, or that it and the pool lead to different servers: all connections
// are made anew.
func (r *Router) beat(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := r.runtime.WithTimeout(ctx, max(timeout, minProbeTimeout))
	defer cancel()
	if !r.isSubscribed.Load() {
		r.reg.MissBeat()
		return errUnsubscribed // whoever subscribes tells why
	}
	if err := r.probe(ctx); err != nil {
		r.reg.MissBeat()
		r.missed(ctx, err)
		return err
	}
	before := r.now()
	if err := r.refreshLease(ctx); err != nil {
		r.missed(ctx, err)
		return err
	}
	r.reg.Works(redisconn.Beating)
	r.leaseUntil.Store(int64(before.Add(r.reg.Timing().NodeTTL()).Sub(r.started)))
	r.peers.forgetIdle()
	return nil
}

// missed has the log told of a heartbeat that failed, unless the router is stopping.
func (r *Router) missed(ctx context.Context, err error) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		r.reg.Failed(redisconn.Beating, err)
	}
}

// refreshLease writes the node lease. Those who do it take turns, so that what the lease
// says last is what is true.
func (r *Router) refreshLease(ctx context.Context) error {
	if err := r.leaseTurn.Wait(ctx); err != nil {
		return err
	}
	defer r.leaseTurn.Set()
	return r.reg.Beat(ctx, r.info())
}

// minProbeTimeout keeps a short heartbeat from calling a busy machine unsubscribed.
const minProbeTimeout = 500 * time.Millisecond

// probe returns nil once this node has heard itself, as Redis counts it. A PUBLISH that
// is heard and was counted for nobody came by way of a replica, as after a failover
// that left the subscription where it was: other nodes would take this one for
// unsubscribed.
func (r *Router) probe(ctx context.Context) error {
	began := r.now()
	n := r.runtime.Rand() // nobody else can know it before it is published
	r.awaitedProbe.Store(n)
	p := r.signed(r.keys.Channel(r.opts.NodeID), func(b []byte) []byte { return link.AppendProbe(b, n) })
	r.published[link.KindProbe].Inc()
	r.countPost(1, len(p.Payload))
	receivers, err := r.bus.Publish(ctx, p)
	if err != nil {
		return fmt.Errorf("publish the probe: %w", err)
	}
	if r.hears(ctx, n) && receivers > 0 {
		return nil
	}
	r.setSubscribed(false)
	r.in.sub.Reset()
	if r.ctx.Err() == nil { // not stopping, when what is left needs the connections
		r.bus.Reset(r.ctx, r.in.private, began, errUnsubscribed)
	}
	return errUnsubscribed
}

// hears waits until the probe of that number was heard, or ctx ends.
func (r *Router) hears(ctx context.Context, n uint64) bool {
	for r.heardProbe.Load() != n {
		if r.probed.Wait(ctx) != nil {
			return false
		}
	}
	return true
}

// tookProbe is called by the inbox. Nobody waits for a probe that comes late, or that
// was played again or made up by somebody else.
func (r *Router) tookProbe(n uint64) {
	if n == r.awaitedProbe.Load() {
		r.heardProbe.Store(n)
		r.probed.Set()
	}
}

func (r *Router) info() registry.NodeInfo {
	return registry.NodeInfo{
		ID: r.opts.NodeID, URL: r.opts.URL, Version: r.opts.Version,
		Started: r.started, Sessions: r.local.sessions(), Draining: r.draining.Load(),
		Settings: registry.Settings{
			Delivery: string(Targeted), Duplicates: r.opts.Duplicates, Heartbeat: r.reg.Timing().Heartbeat,
			Envelopes: registry.Versions{Min: link.Version, Max: link.Version},
			Keys:      Fingerprint(r.opts.ClusterKeys),
		},
	}
}

// setSubscribed notes whether the private channel is subscribed, and beats at once
// when it is again.
func (r *Router) setSubscribed(subscribed bool) {
	if r.isSubscribed.Swap(subscribed) == subscribed {
		return
	}
	if !subscribed {
		r.m.PrivateChannelHears.Set(0)
		return
	}
	r.m.PrivateChannelHears.Set(1)
	r.beatDue.Set()
}

// leaseLives reports whether this node's lease can't have ended in Redis. While it may have,
// the node does not rely on what it knows about its own addresses.
func (r *Router) leaseLives() bool { return r.leaseLivesAt(r.now()) }

func (r *Router) leaseLivesAt(now time.Time) bool {
	return int64(now.Sub(r.started)) < r.leaseUntil.Load()
}
