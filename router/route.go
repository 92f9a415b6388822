package router

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

const (
	// retryUnsettled is the delay before a route looks up again what was not settled, or
	// whether what it waits for has changed meanwhile.
	retryUnsettled = 50 * time.Millisecond
	// retryMoving is the delay before a route looks up again an owner that is just moving.
	// Where an owner is found again and again and is not ready, as when its claim waits
	// for Redis, it doubles maxDoublings times at the most.
	retryMoving  = 5 * time.Millisecond
	maxDoublings = 5
	// retryAbsent is the delay before a route looks again whether a receiver that nobody
	// owned has come back within the grace. It doubles up to maxRetryAbsent.
	retryAbsent    = 50 * time.Millisecond
	maxRetryAbsent = 500 * time.Millisecond
)

// routeState says what a route does to find the owners of its address. Only methods of route
// change it (here, in lookup.go and in owners.go), for the events that route.on takes.
type routeState uint8

const (
	// routeUnknown: the owners are not known and no message waits for them. A message makes
	// it routeQueued. Without anything in flight such a route is forgotten.
	routeUnknown routeState = iota
	// routeCached: the last lookup found the owners, and messages go to them at once
	// (mayUseCache). A message that may not go by the cache makes it routeQueued, and an
	// owner that refuses one routeRepairing.
	routeCached
	// routeQueued: it waits in the queue of the lookup batcher, which makes it
	// routeLookingUp. Messages wait.
	routeQueued
	// routeLookingUp: a lookup is under way, which answers for the first `covered` of the
	// messages that wait. Its result makes it routeCached, or routeUnknown if that may not
	// be cached; routeDraining if there are other owners than those of what is in
	// flight; or routeDelayed if there was no answer that counts.
	routeLookingUp
	// routeDelayed: messages wait for a retry delay, after which it is routeQueued.
	routeDelayed
	// routeDraining: the owners are not those of what is in flight. Messages wait until all
	// in flight is answered, or would overtake it; then it is routeQueued. It is that also
	// after a retry delay, since what is in flight may take until its deadline, and those
	// that wait may turn out to have no owner.
	routeDraining
	// routeRepairing: an owner has refused a message in flight, which is to be sent again
	// before all later ones. Messages wait until all in flight is answered. Then it is
	// routeQueued, or routeDelayed if the owner was not ready or was refused before. A
	// lookup that was under way does not count: it may be older than the refusal.
	routeRepairing
)

// route is the router's state for an address it sends to: its owners, what waits
// for them to be known, and what was sent to them. When nothing waits it lives on
// for as long as its owners are cached. Its shard's mu guards it, and is held by
// whoever calls its methods.
//
// Two things go on beside each other: what the route does about its owners (state), and
// what this node's own sessions are given (handovers), which have a state of their own.
type route struct {
	address string
	state   routeState
	// repairing is state == routeRepairing, for links, which do not hold the shard's lock.
	repairing atomic.Bool
	// degraded: Redis did not answer the last lookup, so the sessions here get at once what
	// waits for owners elsewhere (degraded.go).
	degraded bool

	waiting []*pending // in the order sent; the lookup under way covers the first `covered`
	covered int
	back    []*pending // sent, answered, to be sent again before those: in the order sent

	inflight int              // messages that owners have not answered
	owners   []registry.Owner // whom the last messages went to

	cachedOwners  ownerSet    // owners, while they are cached
	generation    uint64      // in which they were looked up
	noCacheBefore time.Time   // since a cached answer was refused
	lookup        uint64      // the number of the last lookup: only that one counts
	asOfLookup    ownersKnown // what this node had heard when it was sent
	delay         *deadline   // the end of the retry delay; nil before the first one

	handovers handoverQueue

	lruNode listNode[*route] // in shard.idleRoutes
}

func (rt *route) node() *listNode[*route] { return &rt.lruNode }

// routeEvent is something that happens to a route.
type routeEvent struct {
	kind routeEventKind
	p    *pending     // messageSent, messageExpired
	was  pendingState // messageExpired: before

	owners   []registry.Owner // lookupFound: those that live
	complete bool             // ... and the registry named no others, so that they may be cached

	delay    time.Duration // lookupFailed: before the next one
	degraded bool          // ... because Redis did not answer
}

// routeEventKind is a kind of event. Who causes it stands beside it.
type routeEventKind uint8

const (
	messageSent     routeEventKind = iota // a sender, or a back end
	messageExpired                        // a message's deadline has come; the sweep
	becameOwner                           // a session here has joined the address
	ownersWanted                          // this node wants to know its co-owners; the inbox
	lookupStarted                         // the lookup batcher
	lookupFound                           // the lookup batcher: there are owners
	lookupNobody                          // the lookup batcher: it is proved that nobody owned the address
	lookupFailed                          // the lookup batcher: there was no answer that counts
	ownerRefused                          // an owner's answer to a message in flight: it is to be sent again
	messageAnswered                       // the last owner's answer to a message in flight
	delayOver                             // the sweep
	handedOver                            // who handed over to the sessions here: nothing is left
)

// on takes an event. It is the only way in which the state of a route changes.
func (rt *route) on(s *shard, e routeEvent) {
	switch e.kind {
	case messageSent:
		rt.messageSent(s, e.p)
	case messageExpired:
		rt.messageExpired(s, e.p, e.was)
	case becameOwner:
		rt.uncache(s)
	case ownersWanted:
		rt.lookUp(s)
	case lookupStarted:
		rt.lookupStarted(s)
	case lookupFound:
		rt.found(s, e.owners, e.complete)
	case lookupNobody:
		rt.nobody(s)
	case lookupFailed:
		rt.failed(s, e.delay, e.degraded)
	case ownerRefused:
		rt.leave(s)
		rt.state = routeRepairing
		rt.repairing.Store(true)
	case messageAnswered:
		rt.inflight--
		rt.proceed(s)
	case delayOver:
		rt.delayOver(s)
	case handedOver:
		rt.proceed(s)
	}
}

// leave undoes what the route's state has set up. The caller gives it another state.
func (rt *route) leave(s *shard) {
	switch rt.state {
	case routeCached:
		rt.cachedOwners = noneAssumed
	case routeLookingUp:
		rt.covered = 0
	case routeDelayed, routeDraining:
		s.deadlines.stop(rt.delay)
	case routeRepairing:
		rt.repairing.Store(false)
	case routeUnknown, routeQueued: // the batcher leaves out what is not queued any more
	}
}

// messageSent sends p to the cached owners, or has it wait for a lookup.
func (rt *route) messageSent(s *shard, p *pending) {
	if rt.state <= routeCached {
		s.idleRoutes.remove(rt)
	}
	p.route = rt
	fallback := rt.degraded || !s.r.leaseLivesAt(p.accepted)
	if !fallback && rt.mayUseCache(s) {
		s.r.m.OwnerCacheHits.Inc()
		rt.sendToOwners(s, rt.cachedOwners, p)
		return
	}
	rt.waiting = append(rt.waiting, p)
	if fallback {
		rt.deliverLocally(s)
	}
	rt.lookUp(s)
}

// lookUp has the owners looked up, unless something else does so already or comes first.
func (rt *route) lookUp(s *shard) {
	switch rt.state {
	case routeUnknown, routeCached:
		s.idleRoutes.remove(rt)
		rt.queue(s)
	case routeDraining, routeRepairing:
		rt.requestAcks(s)
	case routeQueued, routeLookingUp, routeDelayed:
	}
}

// queue has the lookup batcher look the owners up.
func (rt *route) queue(s *shard) {
	rt.leave(s)
	rt.state = routeQueued
	rt.lookup = s.r.lookups.add(s, rt)
}

// delayed has the route queued after a retry delay.
func (rt *route) delayed(s *shard, state routeState, d time.Duration) {
	rt.leave(s)
	rt.state = state
	if rt.delay == nil {
		rt.delay = &deadline{due: func(time.Time) { rt.on(s, routeEvent{kind: delayOver}) }}
	}
	s.setDeadline(rt.delay, s.now().Add(d))
}

// delayOver looks up again if something waits still.
func (rt *route) delayOver(s *shard) {
	switch {
	case rt.waits():
		rt.queue(s)
	case rt.state == routeDelayed:
		rt.state = routeUnknown
		rt.proceed(s)
	}
}

// waits reports whether a message waits for its owners.
func (rt *route) waits() bool { return len(rt.back)+len(rt.waiting) > 0 }

// proceed goes on after something that may have been awaited: in flight, here, or by those
// that wait.
func (rt *route) proceed(s *shard) {
	switch rt.state {
	case routeQueued, routeLookingUp, routeDelayed:
		return
	case routeDraining, routeRepairing:
		if rt.inflight > 0 {
			return
		}
		rt.leave(s)
		rt.state = routeUnknown
		if d := rt.repairDelay(); d > 0 {
			rt.delayed(s, routeDelayed, d)
			return
		}
	case routeUnknown, routeCached:
	}
	switch {
	case rt.waits():
		rt.queue(s)
	case rt.inflight == 0 && rt.handovers.state == handoverIdle:
		rt.park(s)
	}
}

// repairDelay returns the delay before the messages that came back are looked up again; 0
// if the first of them was refused by a cached owner only.
func (rt *route) repairDelay() time.Duration {
	if len(rt.back) == 0 {
		return 0
	}
	p := rt.back[0]
	if p.assumedOwners != noneAssumed || p.again != againNotReady && p.hops <= 1 {
		return 0
	}
	return p.retryDelay()
}

// messageExpired gives up on a message whose deadline has come: it must not hold up
// those behind it. Its owners' answers are still awaited by their links.
func (rt *route) messageExpired(s *shard, p *pending, was pendingState) {
	if was == pendingInflight {
		p.room = nil
		rt.on(s, routeEvent{kind: messageAnswered})
		return
	}
	var i int
	if rt.waiting, i = without(rt.waiting, p); i >= 0 && i < rt.covered {
		rt.covered--
	}
	rt.back, _ = without(rt.back, p)
	if was != pendingFallback {
		s.reuse(p)
	}
	rt.proceed(s)
}

// without removes p, which is mostly the first: those behind it are not moved then.
func without(list []*pending, p *pending) ([]*pending, int) {
	i := slices.Index(list, p)
	switch {
	case i < 0:
	case i == 0:
		list[0] = nil
		list = list[1:]
	default:
		list = slices.Delete(list, i, i+1)
	}
	return list, i
}
