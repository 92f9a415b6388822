package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// commitTimeout bounds one round trip of the committer, maxLookups the lookups in it.
const (
	commitTimeout = 3 * time.Second
	maxLookups    = 1 << 10
)

// restFailed is how long the committer waits after a round trip that failed.
const retryFailed = 25 * time.Millisecond

// commit is one round trip: what gathered while the last one was under way.
type commit struct {
	lookups []lookup
}

// signalLookups wakes the committer. It never waits.
func (r *Router) signalLookups() { r.work.Set() }

// runLookups sends the lookups that have gathered, one round trip at a time: so a round trip
// has more of them under load, and an idle router sends at once.
func (r *Router) runLookups(ctx context.Context) {
	for r.work.Wait(ctx) == nil {
		r.mu.Lock()
		c := r.nextCommit()
		r.unlock()
		if len(c.lookups) > 0 {
			r.roundTrip(ctx, c)
		}
	}
}

// nextCommit takes the routes to look up.
func (r *Router) nextCommit() *commit {
	c := &commit{lookups: r.lookups.take(maxLookups)}
	if r.lookups.len() > 0 {
		r.signalLookups()
	}
	for _, l := range c.lookups {
		l.route.on(r, routeEvent{kind: lookupStarted})
	}
	return c
}

// roundTrip sends a commit and takes Redis' answers.
func (r *Router) roundTrip(ctx context.Context, c *commit) {
	ctx, cancel := r.runtime.WithTimeout(ctx, commitTimeout)
	defer cancel()
	began := r.now()
	addresses := make([]string, len(c.lookups))
	for i, l := range c.lookups {
		addresses[i] = l.route.address
	}
	r.m.CommitCommands.Observe(float64(len(addresses)))
	answers := r.reg.LookupAll(ctx, addresses)
	dead, crowds := r.revive(ctx, answers), r.crowds(ctx, answers)
	r.mu.Lock()
	empty := r.take(c.lookups, answers, dead, crowds)
	r.unlock()
	if len(empty) > 0 {
		r.prove(ctx, empty, began)
	}
}

// take hands the lookups' answers to their routes and returns the lookups whose
// address nobody seems to own. Nodes that are dead own nothing.
func (r *Router) take(lookups []lookup, answers []registry.Answer, dead nodeSet, crowds map[int]crowd) (empty []lookup) {
	for i, l := range lookups {
		if !l.counts(routeLookingUp) {
			continue
		}
		rt := l.route
		found, err := answers[i].Owners, answers[i].Err
		owners := found
		if err == nil {
			owners = r.living(rt.address, r.living(rt.address, found, dead), crowds[i].dead)
			owners = r.withSelf(rt.address, owners)
		}
		switch {
		case errors.Is(err, registry.ErrUnsettled):
			rt.on(r, routeEvent{kind: lookupFailed, delay: retryUnsettled})
		case err != nil:
			rt.on(r, routeEvent{kind: lookupFailed, delay: retryFailed, degraded: true})
		case crowds[i].unsure:
			rt.on(r, routeEvent{kind: lookupFailed, delay: retryUnsettled})
		case len(owners) == 0: // what is in flight still can't be passed by what nobody gets
			empty = append(empty, l)
		default:
			rt.on(r, routeEvent{kind: lookupFound, owners: owners, complete: slices.Equal(owners, found)})
		}
	}
	return empty
}

// withSelf adds this node to the owners of an address that it holds, although its
// entry is lost and not yet claimed again.
func (r *Router) withSelf(address string, owners []registry.Owner) []registry.Owner {
	self := func(o registry.Owner) bool { return o.NodeID == r.opts.NodeID }
	if slices.ContainsFunc(owners, self) || !r.local.holds(address) {
		return owners
	}
	return append(slices.Clip(owners), registry.Owner{NodeID: r.opts.NodeID})
}

// living removes the owners that are dead, here and in the registry.
func (r *Router) living(address string, owners []registry.Owner, dead nodeSet) []registry.Owner {
	if len(dead) == 0 {
		return owners
	}
	alive := owners[:0:0]
	for _, o := range owners {
		if _, gone := dead[o.NodeID]; gone {
			r.stale[staleDead].Inc()
			r.pruneDead(address, o)
			continue
		}
		alive = append(alive, o)
	}
	return alive
}

// prove tells "nobody owns the address" apart from "Redis lost its data". Where one master
// has all addresses, one question answers for all.
func (r *Router) prove(ctx context.Context, lookups []lookup, asked time.Time) {
	if r.reg.OneMaster() {
		r.proved(ctx, lookups, asked)
		return
	}
	for i := range lookups { // beside the committer: each has a master of its own
		r.run(func(ctx context.Context) { r.proved(ctx, lookups[i:i+1], asked) })
	}
}

func (r *Router) proved(ctx context.Context, lookups []lookup, asked time.Time) {
	settled, err := r.settled(ctx, lookups[0].route.address, asked)
	r.mu.Lock()
	defer r.unlock()
	for _, l := range lookups {
		switch {
		case !l.counts(routeLookingUp):
		case err != nil:
			l.route.on(r, routeEvent{kind: lookupFailed, delay: retryFailed})
		case !settled:
			l.route.on(r, routeEvent{kind: lookupFailed, delay: retryUnsettled})
		default:
			l.route.on(r, routeEvent{kind: lookupNobody})
		}
	}
}

// settled tells whether an empty answer to a lookup sent at asked proves that
// nobody owned the address: what Settled says counts for half a heartbeat back.
func (r *Router) settled(ctx context.Context, address string, asked time.Time) (bool, error) {
	settled, err := r.reg.ConfirmAbsent(ctx, address)
	return settled && r.now().Sub(asked) < r.reg.Timing().Heartbeat/2, err
}
