package router

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

const (
	// lookupTimeout bounds one round trip of lookups, maxLookups the lookups in it.
	lookupTimeout = 3 * time.Second
	maxLookups    = 1 << 10
	// retryFailed is the delay before a route is looked up again after a round trip that failed.
	retryFailed = 25 * time.Millisecond
)

// lookupBatcher looks up the owners of the addresses of routes, one round trip at a time:
// so a round trip has more lookups under load, and an idle router sends at once.
type lookupBatcher struct {
	r    *Router
	some task.Signal // something is queued

	mu struct { // may be taken while a shard's is held
		sync.Mutex
		queue lookupQueue
	}
}

// add queues a lookup of a route's owners, and returns its number.
func (b *lookupBatcher) add(s *shard, rt *route) (number uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.some.Set()
	return b.mu.queue.add(s, rt)
}

// run looks up until ctx ends.
func (b *lookupBatcher) run(ctx context.Context) {
	for b.some.Wait(ctx) == nil {
		if lookups := b.next(); len(lookups) > 0 {
			b.lookUp(ctx, lookups)
		}
	}
}

// next takes the lookups of the next round trip from the queue, without those whose route
// does not wait for them any more.
func (b *lookupBatcher) next() []lookup {
	started := b.take()
	return slices.DeleteFunc(started, func(l lookup) bool {
		l.shard.lock()
		defer l.shard.unlockAndNotify()
		waits := l.counts(routeQueued)
		if waits {
			l.route.on(l.shard, routeEvent{kind: lookupStarted})
		}
		return !waits
	})
}

func (b *lookupBatcher) take() []lookup {
	b.mu.Lock()
	defer b.mu.Unlock()
	lookups := b.mu.queue.take(maxLookups)
	if b.mu.queue.len() > 0 {
		b.some.Set()
	}
	return lookups
}

// clear forgets what is queued.
func (b *lookupBatcher) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.queue = lookupQueue{}
}

// lookUp makes one round trip and gives the routes the answers.
func (b *lookupBatcher) lookUp(ctx context.Context, lookups []lookup) {
	r := b.r
	ctx, cancel := r.runtime.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	began := r.now()
	addresses := make([]string, len(lookups))
	for i, l := range lookups {
		addresses[i] = l.route.address
	}
	r.m.CommitCommands.Observe(float64(len(addresses)))
	answers := r.reg.LookupAll(ctx, addresses)
	dead, crowds := r.revive(ctx, answers), r.crowds(ctx, answers)
	empty := b.answer(lookups, answers, dead, crowds)
	r.flush()
	if len(empty) > 0 {
		b.confirmAbsent(ctx, empty, began)
	}
}

// answer gives the routes the answers to their lookups, and returns the lookups whose
// address nobody seems to own. Nodes that are dead own nothing.
func (b *lookupBatcher) answer(lookups []lookup, answers []registry.Answer, dead nodeSet, crowds map[int]crowd) (empty []lookup) {
	for i, l := range lookups {
		owners, err := answers[i].Owners, answers[i].Err
		if err == nil {
			owners = b.living(l.route.address, b.living(l.route.address, owners, dead), crowds[i].dead)
			owners = b.withSelf(l.route.address, owners)
		}
		e := routeEvent{kind: lookupFailed, delay: retryUnsettled}
		switch {
		case errors.Is(err, registry.ErrUnsettled), err == nil && crowds[i].unsure:
		case err != nil:
			e.delay, e.degraded = retryFailed, true
		case len(owners) == 0: // what is in flight still can't be passed by what nobody gets
			empty = append(empty, l)
			continue
		default:
			e = routeEvent{kind: lookupFound, owners: owners, complete: slices.Equal(owners, answers[i].Owners)}
		}
		l.take(e)
	}
	return empty
}

// withSelf adds this node to the owners of an address that it holds, although its
// entry is lost and not yet claimed again.
func (b *lookupBatcher) withSelf(address string, owners []registry.Owner) []registry.Owner {
	self := func(o registry.Owner) bool { return o.NodeID == b.r.opts.NodeID }
	if slices.ContainsFunc(owners, self) || !b.r.local.holds(address) {
		return owners
	}
	return append(slices.Clip(owners), registry.Owner{NodeID: b.r.opts.NodeID})
}

// living removes the owners that are dead, here and in the registry.
func (b *lookupBatcher) living(address string, owners []registry.Owner, dead nodeSet) []registry.Owner {
	if len(dead) == 0 {
		return owners
	}
	alive := owners[:0:0]
	for _, o := range owners {
		if _, gone := dead[o.NodeID]; gone {
			b.r.stale[staleDead].Inc()
			b.r.pruneDead(address, o)
			continue
		}
		alive = append(alive, o)
	}
	return alive
}

// confirmAbsent tells "nobody owns the address" apart from "Redis lost its data". Where
// one master has all addresses, one question answers for all.
func (b *lookupBatcher) confirmAbsent(ctx context.Context, lookups []lookup, began time.Time) {
	if b.r.reg.OneMaster() {
		b.confirmAbsentAt(ctx, lookups, began)
		return
	}
	for i := range lookups { // beside the next round trip: each has a master of its own
		b.r.run(func(ctx context.Context) { b.confirmAbsentAt(ctx, lookups[i:i+1], began) })
	}
}

// confirmAbsentAt asks one master. What it answers counts for half a heartbeat back.
func (b *lookupBatcher) confirmAbsentAt(ctx context.Context, lookups []lookup, began time.Time) {
	r := b.r
	confirmed, err := r.reg.ConfirmAbsent(ctx, lookups[0].route.address)
	confirmed = confirmed && r.now().Sub(began) < r.reg.Timing().Heartbeat/2
	for _, l := range lookups {
		e := routeEvent{kind: lookupNobody}
		switch {
		case err != nil:
			e = routeEvent{kind: lookupFailed, delay: retryFailed}
		case !confirmed:
			e = routeEvent{kind: lookupFailed, delay: retryUnsettled}
		}
		l.take(e)
	}
	r.flush()
}
