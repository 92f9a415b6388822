package router

import (
	"context"
	"errors"
	"slices"
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
// so a round trip has more lookups under load, and an idle router sends at once. Router.mu
// guards its queue.
type lookupBatcher struct {
	r     *Router
	some  task.Signal // something is queued
	queue lookupQueue
}

// add queues a lookup of a route's owners, and returns its number.
func (b *lookupBatcher) add(rt *route) (number uint64) {
	b.some.Set()
	return b.queue.add(rt)
}

// run looks up until ctx ends.
func (b *lookupBatcher) run(ctx context.Context) {
	for b.some.Wait(ctx) == nil {
		if lookups := b.next(); len(lookups) > 0 {
			b.lookUp(ctx, lookups)
		}
	}
}

// next takes the lookups of the next round trip from the queue.
func (b *lookupBatcher) next() []lookup {
	b.r.mu.Lock()
	defer b.r.unlock()
	lookups := b.queue.take(maxLookups)
	if b.queue.len() > 0 {
		b.some.Set()
	}
	for _, l := range lookups {
		l.route.on(b.r, routeEvent{kind: lookupStarted})
	}
	return lookups
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
	r.mu.Lock()
	empty := b.answer(lookups, answers, dead, crowds)
	r.unlock()
	if len(empty) > 0 {
		b.confirmAbsent(ctx, empty, began)
	}
}

// answer gives the routes the answers to their lookups, and returns the lookups whose
// address nobody seems to own. Nodes that are dead own nothing.
func (b *lookupBatcher) answer(lookups []lookup, answers []registry.Answer, dead nodeSet, crowds map[int]crowd) (empty []lookup) {
	for i, l := range lookups {
		if !l.counts(routeLookingUp) {
			continue
		}
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
		l.route.on(b.r, e)
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
	r.mu.Lock()
	defer r.unlock()
	for _, l := range lookups {
		e := routeEvent{kind: lookupNobody}
		switch {
		case !l.counts(routeLookingUp):
			continue
		case err != nil:
			e = routeEvent{kind: lookupFailed, delay: retryFailed}
		case !confirmed:
			e = routeEvent{kind: lookupFailed, delay: retryUnsettled}
		}
		l.route.on(r, e)
	}
}
