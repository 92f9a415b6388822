package router

import (
	"strconv"
	"sync"
	"testing"
)

// While Redis is away, who is on the sender's own node gets his messages at once
// and in order, also if he is on another node as well; that one gets them when
// Redis is back.
func TestLocalDeliveryGoesOnWithoutRedis(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.MessageTimeout = 2 * patience })
	eve := c.node(0).connect("eve")
	phone, desk := c.node(0).connect("bob"), c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "first", Delivered)
	c.redis.Pause()
	until(t, "the lease has ended", func() bool { return !c.node(0).leaseLives() })
	want := []string{"first"}
	for i := range 20 {
		c.node(0).wantOutcome("eve", strconv.Itoa(i), Delivered)
		c.node(0).wantOutcome("bob", strconv.Itoa(i), Delivered)
		want = append(want, strconv.Itoa(i))
	}
	eve.wantGot(want[1:]...)
	phone.wantGot(want...)
	waiting := c.node(0).sendTo("nobody here", "x")
	c.redis.Resume()
	desk.wantGot(want...)
	phone.wantGot(want...)
	c.node(0).want(waiting, Offline)
	wantNothingPending(t, c)
}

// What finds no room to wait is delivered here all the same.
func TestLocalDeliveryNeedsNoRoom(t *testing.T) {
	c := newOwnCluster(t, 1, func(o *Options) { o.MaxPendingBytes = 100 })
	eve := c.node(0).connect("eve")
	c.redis.Pause()
	until(t, "the lease has ended", func() bool { return !c.node(0).leaseLives() })
	var want []string
	for i := range 100 {
		want = append(want, strconv.Itoa(1000+i))
		c.node(0).wantOutcome("eve", want[i], Delivered)
	}
	eve.wantGot(want...)
	c.redis.Resume()
}

// The same before the node's lease has ended, once Redis did not answer a lookup.
func TestLocalDeliveryWhenRedisHasJustGone(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.OwnerCache, o.MessageTimeout = -1, 2*patience })
	phone, _ := c.node(0).connect("bob"), c.node(1).connect("bob")
	phone.full.Store(true)
	c.redis.Pause()
	refused := c.node(0).sendTo("bob", "no room")
	until(t, "the phone has refused it", func() bool {
		rt, unlock := c.node(0).lockRoute("bob")
		defer unlock()
		return rt != nil && len(rt.waiting) == 1 && rt.waiting[0].undelivered == Overloaded
	})
	phone.full.Store(false)
	c.node(0).wantOutcome("bob", "now", Delivered)
	phone.wantGot("now")
	c.redis.Resume()
	c.node(0).want(refused, Delivered) // by the other owner, whom it had not reached
	wantNothingPending(t, c)
}

// What needs no room to wait does not pass what waits already: that is not here yet, because
// a lookup is under way.
func TestLocalDeliveryWithoutRoomPassesNothing(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) { o.MaxPendingBytes = 8 })
	n := c.node(0)
	held := make(chan struct{})
	free := sync.OnceFunc(func() { close(held) })
	defer free()
	n.client.AddHook(heldLookups(held))
	first := n.sendTo("bob", "12345678")
	bob := n.connect("bob")
	n.leaseUntil.Store(0)
	n.wantOutcome("bob", "9", Overloaded)
	free()
	n.want(first, Delivered)
	bob.wantGot("12345678")
	wantNothingPending(t, c)
}

// newDegradedStory is a route to an address that has a session here.
func newDegradedStory(t *testing.T) *routeStory {
	x := newRouteStory(t)
	x.s.r.local.byName["bob"] = &localAddress{sessions: []Session{new(member)}}
	return x
}

// fail has Redis not answer a lookup of the route.
func (x *routeStory) fail() {
	x.on(lookupStarted)
	x.rt.on(x.s, routeEvent{kind: lookupFailed, delay: retryFailed, degraded: true})
}

func (x *routeStory) wantFallbacks(what string, want int) {
	x.t.Helper()
	if got := x.rt.handovers.fallbacks; got != want || len(x.rt.handovers.items) != want {
		x.t.Fatalf("%s: %d messages are handed over to the sessions here, want %d", what, got, want)
	}
}

// However often Redis does not answer, a message is handed over once. Until it has been, no
// answer of Redis counts, or the sessions here might get it twice.
func TestFallbackIsHandedOverOnce(t *testing.T) {
	for name, answer := range map[string]func(*routeStory){
		"an owner is found": func(x *routeStory) { x.on(lookupFound, "n1") },
		"nobody is found":   func(x *routeStory) { x.on(lookupNobody) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newDegradedStory(t)
			x.send()
			for range 2 {
				x.fail()
				x.wantFallbacks("Redis has not answered", 1)
				x.on(delayOver)
			}
			x.on(lookupStarted)
			answer(x)
			x.want("it is being handed over", routeDelayed, 1, 0)
		})
	}
}

// What is in flight to other owners is not overtaken here.
func TestFallbackPassesNothingInFlight(t *testing.T) {
	x := newDegradedStory(t)
	x.send()
	x.on(lookupStarted)
	x.on(lookupFound, "n1")
	x.on(ownersWanted)
	x.send()
	x.fail()
	x.want("the first is in flight", routeDelayed, 1, 1)
	x.wantFallbacks("the first is in flight", 0)
}
