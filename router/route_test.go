package router

import (
	"testing"

	"github.com/beeline-ws/beeline/registry"
)

// routeStates is what a test calls the states.
var routeStates = map[routeState]string{
	routeUnknown: "unknown", routeCached: "cached", routeQueued: "queued", routeLookingUp: "looking up",
	routeDelayed: "delayed", routeDraining: "draining", routeRepairing: "repairing",
}

// routeStory takes one route through its states, with owners that answer when they are told.
type routeStory struct {
	t  *testing.T
	s  *shard
	rt *route
}

func newRouteStory(t *testing.T) *routeStory {
	n := newCluster(t, 1, nil).node(0)
	s := n.shards.of("bob")
	s.lock() // nobody else moves the route
	t.Cleanup(func() {
		for p := s.pending.oldest; p != nil; p = s.pending.oldest {
			s.expire(p)
		}
		s.mu.Unlock()
	})
	return &routeStory{t, s, s.routeTo("bob")}
}

func (x *routeStory) send() *pending {
	p := x.s.newPending(Message{From: "alice", To: "bob"}, nil)
	if why := x.s.r.room.reserve(p, &x.s.receivers); why != roomy {
		x.t.Fatal("there is no room")
	}
	x.s.accept(p)
	return p
}

func (x *routeStory) on(kind routeEventKind, owners ...string) {
	e := routeEvent{kind: kind, complete: true}
	for _, node := range owners {
		e.owners = append(e.owners, registry.Owner{NodeID: node, Token: "1"})
	}
	x.rt.on(x.s, e)
}

func (x *routeStory) answer(p *pending, node string, result ackResult) {
	p.acked(x.s, registry.Owner{NodeID: node, Token: "1"}, result)
}

func (x *routeStory) want(what string, state routeState, waiting, inflight int) {
	x.t.Helper()
	if x.rt.state != state || len(x.rt.waiting)+len(x.rt.back) != waiting || x.rt.inflight != inflight {
		x.t.Fatalf("%s: it is %s, %d messages wait and %d are in flight; want %s, %d and %d", what,
			routeStates[x.rt.state], len(x.rt.waiting)+len(x.rt.back), x.rt.inflight, routeStates[state], waiting, inflight)
	}
}

func TestRouteCachesItsOwners(t *testing.T) {
	x := newRouteStory(t)
	first := x.send()
	x.want("nobody is known", routeQueued, 1, 0)
	x.on(lookupStarted)
	x.send()
	x.want("one came later", routeLookingUp, 2, 0)
	x.on(lookupFound, "n1")
	x.want("the one that came later needs a lookup of its own", routeQueued, 1, 1)
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	x.want("it was found", routeCached, 0, 2)
	x.answer(first, "n1", ackDelivered)
	x.send()
	x.want("the owner is cached", routeCached, 0, 2)
}

// What an owner refuses is looked up again, and what was in flight is answered before.
func TestRouteRepairsWhatWasRefused(t *testing.T) {
	x := newRouteStory(t)
	x.send()
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	second, third := x.send(), x.send()
	x.answer(second, "n1", ackNotHere)
	x.want("one was refused", routeRepairing, 1, 2)
	x.send()
	x.want("a later one waits", routeRepairing, 2, 2)
	x.answer(third, "n1", ackNotHere)
	x.want("two were refused", routeRepairing, 3, 1)
	if x.rt.repairing.Load() != (x.rt.state == routeRepairing) {
		t.Error("links are not told that it is repairing")
	}
	x.s.expire(x.s.pending.oldest)
	x.want("the deadline of the first one has come", routeQueued, 3, 0)
	x.on(lookupStarted)
	x.on(lookupFound, "n2")
	x.want("all go to the new owner, in order", routeCached, 0, 3)
}

// A lookup that was under way when an owner refused a message is older than that.
func TestLookupThatIsOlderThanARefusalDoesNotCount(t *testing.T) {
	x := newRouteStory(t)
	first := x.send()
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	x.on(ownersWanted)
	x.on(lookupStarted)
	old := lookup{shard: x.s, route: x.rt, number: x.rt.lookup}
	x.answer(first, "n1", ackNotHere)
	if x.want("all is answered", routeQueued, 1, 0); old.counts(routeLookingUp) {
		t.Error("the old lookup counts")
	}
	x.on(lookupStarted)
	if old.counts(routeLookingUp) {
		t.Error("the old lookup counts for the new one")
	}
}

// Other owners get nothing before those of what is in flight have answered.
func TestRouteDrainsBeforeItGoesElsewhere(t *testing.T) {
	x := newRouteStory(t)
	first := x.send()
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	x.on(ownersWanted)
	x.send()
	x.on(lookupStarted)
	x.on(lookupFound, "n2")
	x.want("the client has moved", routeDraining, 1, 1)
	x.on(delayOver)
	x.want("it is looked up whether there still is an owner", routeQueued, 1, 1)
	x.on(lookupStarted)
	x.on(lookupFound, "n2")
	x.want("there is", routeDraining, 1, 1)
	x.answer(first, "n1", ackDelivered)
	x.want("all is answered", routeQueued, 1, 0)
	x.on(lookupStarted)
	x.on(lookupFound, "n2")
	x.want("it goes to the new owner", routeCached, 0, 1)
}

func TestRouteWaitsAfterALookupThatFailed(t *testing.T) {
	x := newRouteStory(t)
	p := x.send()
	x.on(lookupStarted)
	x.on(lookupFailed)
	x.want("it has failed", routeDelayed, 1, 0)
	x.send()
	x.want("a later one waits, too", routeDelayed, 2, 0)
	x.on(delayOver)
	x.want("the delay is over", routeQueued, 2, 0)
	x.on(lookupStarted)
	x.s.expire(p)
	x.on(lookupNobody)
	x.want("nobody has the address, and no message waits", routeUnknown, 0, 0)
	if x.s.routes["bob"] != nil {
		t.Error("a route that nothing waits for is kept")
	}
}

// What its owners refuse again and again is looked up maxHops times, and not until its deadline.
func TestMessageIsNotLookedUpWithoutEnd(t *testing.T) {
	x := newRouteStory(t)
	p := x.send()
	for hop := range maxHops {
		if hop > 1 { // the first refusal may be by an owner that has just gone
			x.want("it was refused again", routeDelayed, 1, 0)
			x.on(delayOver)
		}
		x.want("it is to be looked up", routeQueued, 1, 0)
		x.on(lookupStarted)
		x.on(lookupFound, "n1")
		x.want("it was sent", routeCached, 0, 1)
		x.answer(p, "n1", ackNotHere)
	}
	var outcomes []Outcome
	p.done = func(_ MessageID, o Outcome) { outcomes = append(outcomes, o) }
	x.on(delayOver)
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	x.want("it is not sent any more", routeCached, 0, 0)
	for _, c := range x.s.calls {
		c.done(c.id, c.outcome)
	}
	if len(outcomes) != 1 || outcomes[0] != Timeout {
		t.Errorf("its outcomes are %v, want %v", outcomes, Timeout)
	}
}
