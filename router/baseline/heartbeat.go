package baseline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router"
)

// A heartbeat pings the subscription and writes the node's lease, which says that the node is
// there and with which settings. Nothing is routed by it.

// runHeartbeat beats once an interval, and sooner after a beat that failed.
func (r *Router) runHeartbeat(ctx context.Context) {
	every := r.reg.Timing().Heartbeat
	next := time.NewTimer(every)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			r.subscription.ping(ctx)
		case <-r.subscription.heard:
		case <-ctx.Done():
			return
		}
		wait := every
		if err := r.beat(ctx); err != nil && ctx.Err() == nil {
			wait = every / 2
		}
		next.Reset(wait)
	}
}

// minBeat keeps a short heartbeat from failing on a busy machine.
const minBeat = 500 * time.Millisecond

// beat writes the node's lease, unless this node hears nothing.
func (r *Router) beat(ctx context.Context) error {
	if !r.subscription.hearing.Load() {
		r.reg.MissBeat()
		return errUnsubscribed // who subscribes tells why
	}
	ctx, cancel := context.WithTimeout(ctx, max(r.reg.Timing().Heartbeat/2, minBeat))
	defer cancel()
	before := time.Now()
	if err := r.reg.Beat(ctx, r.info()); err != nil {
		if !errors.Is(ctx.Err(), context.Canceled) {
			r.reg.Failed(redisconn.Beating, err)
		}
		return err
	}
	r.reg.Works(redisconn.Beating)
	r.leaseUntil.Store(int64(before.Add(r.reg.Timing().NodeTTL()).Sub(r.started)))
	return nil
}

// firstBeat waits until this node hears its channels and has its lease.
func (r *Router) firstBeat(ctx context.Context) error {
	for {
		select {
		case <-r.subscription.heard:
		case <-ctx.Done():
			return fmt.Errorf("subscribing the private channel: %w", context.Cause(ctx))
		}
		err := r.beat(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.log.Debug("first heartbeat failed", "error", err)
		r.subscription.reset() // subscribing again brings the next try
	}
}

func (r *Router) info() registry.NodeInfo {
	return registry.NodeInfo{
		ID: r.opts.NodeID, URL: r.opts.URL, Version: r.opts.Version,
		Started: r.started, Sessions: r.sessions.size(), Draining: r.draining.Load(),
		Settings: registry.Settings{
			Delivery: string(r.opts.Delivery), Duplicates: r.opts.Duplicates, Heartbeat: r.reg.Timing().Heartbeat,
			Envelopes: registry.Versions{Min: frameVersion, Max: frameVersion},
		},
	}
}

var (
	errUnsubscribed = errors.New("this node does not hear its channels")
	errLeaseExpired = errors.New("the node's lease has ended: Redis does not answer")
	errBlocked      = errors.New("this node can't publish")
)

// Hindrances returns every reason why a newcomer would not be welcomed now; none: it would be.
// What Redis did not take (router.CauseRegistry) it may take from the next; for the others a newcomer
// is refused at once.
func (r *Router) Hindrances() []router.Hindrance {
	found := r.refusals()
	if err := r.reg.Trouble(); err != nil {
		found = append(found, router.Hindrance{Cause: router.CauseRegistry, Err: err})
	}
	return found
}

// refusals returns every reason to refuse a newcomer at once. It allocates nothing while there is
// none.
func (r *Router) refusals() (found []router.Hindrance) {
	if r.ctx.Err() != nil || !r.subscription.hearing.Load() {
		found = append(found, router.Hindrance{Cause: router.CauseUnsubscribed, Err: errUnsubscribed})
	}
	if int64(time.Since(r.started)) >= r.leaseUntil.Load() {
		found = append(found, router.Hindrance{Cause: router.CauseLeaseExpired, Err: errLeaseExpired})
	}
	if r.publishBlocked() {
		found = append(found, router.Hindrance{Cause: router.CausePublishBlocked, Err: errBlocked})
	}
	if err := r.reg.Disagreement(); err != nil {
		found = append(found, router.Hindrance{Cause: router.CauseSettings, Err: err})
	}
	return found
}

// publishBlocked reports whether nothing can be published for so long that it is more than a
// connection made anew.
func (r *Router) publishBlocked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.mu.blockedSince.IsZero() && time.Since(r.mu.blockedSince) > publishTimeout
}
