package router

import (
	"strconv"
	"testing"
	"time"
)

// A message waits for a receiver that is just connecting again, in order.
func TestGraceForAReceiverThatComesBack(t *testing.T) {
	patient := func(o *Options) { o.MessageTimeout, o.Grace = 2*patience, patience }
	t.Run("one Redis", func(t *testing.T) { waitForBob(t, newCluster(t, 3, patient)) })
	t.Run("cluster", func(t *testing.T) { waitForBob(t, newShardedCluster(t, 3, patient)) })
}

func waitForBob(t *testing.T, c *cluster) {
	bob := c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "before", Delivered)
	bob.leave()
	var out []<-chan Outcome
	var want []string
	for i := range 20 {
		want = append(want, strconv.Itoa(i))
		out = append(out, c.node(0).sendTo("bob", want[i]))
	}
	until(t, "the messages wait", func() bool {
		rt, unlock := c.node(0).lockRoute("bob")
		defer unlock()
		return rt != nil && len(rt.waiting) == 20 && rt.state == routeDelayed
	})
	bob = c.node(2).connect("bob")
	for _, o := range out {
		c.node(0).want(o, Delivered)
	}
	bob.wantGot(want...)
}

func TestAfterTheGraceTheReceiverIsOffline(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.Grace = patience / 2 })
	first, second := c.node(0).sendTo("bob", "1"), c.node(0).sendTo("bob", "2")
	until(t, "both wait for bob, and their grace is over", func() bool {
		rt, unlock := c.node(0).lockRoute("bob")
		defer unlock()
		if rt == nil || len(rt.waiting) < 2 || rt.state != routeDelayed {
			return false
		}
		for _, p := range rt.waiting {
			p.accepted = p.accepted.Add(-patience / 2)
		}
		return true
	})
	c.node(0).want(first, Offline)
	c.node(0).want(second, Offline)
	wantNothingPending(t, c)
}

func TestGraceIsAtMostHalfAMessagesLife(t *testing.T) {
	opts := newCluster(t, 1, nil).node(0).opts
	for _, bad := range []time.Duration{-1, opts.MessageTimeout/2 + 1} {
		opts.Grace = bad
		if _, err := New(opts); err == nil {
			t.Errorf("a grace of %v was taken", bad)
		}
	}
}
