package baseline

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// Who is welcomed is reached, however often he has just left: Redis takes a subscription's end and
// its beginning in the order sent.
func TestWhoReturnsIsReached(t *testing.T) {
	c := newCluster(t, router.Subscribe, 2, nil)
	for i := range 300 {
		bob := c.node(1).connect("bob")
		c.node(0).wantOutcome("bob", fmt.Sprint(i), router.Delivered)
		bob.wantGot(fmt.Sprint(i))
		bob.leave()
		hasty := newTestSession(c.node(1), "bob")
		c.node(1).JoinAsync(time.Now().Add(patience), "bob", hasty, func(error) {})
		c.node(1).Withdraw("bob", hasty)
		hasty.leave()
	}
	until(t, "nobody is subscribed any more", func() bool {
		counts, err := c.client.PubSubNumSub(t.Context(), c.node(1).keys.Client("bob")).Result()
		return err == nil && counts[c.node(1).keys.Client("bob")] == 0
	})
	c.node(0).wantOutcome("bob", "gone", router.Offline)
}

// More addresses than may be unconfirmed at a time are subscribed all the same, and again on each
// connection that is made anew.
func TestManyAddressesAreSubscribed(t *testing.T) {
	const addresses = maxAwaited + 3*maxChanges + 1
	c := newCluster(t, router.Subscribe, 2, nil)
	n := c.node(1)
	subscribed := func() int64 {
		channels, err := c.client.PubSubChannels(t.Context(), n.keys.Client("*")).Result()
		if err != nil {
			t.Fatal(err)
		}
		return int64(len(channels))
	}
	var joined atomic.Int64
	for i := range addresses {
		name := fmt.Sprint("bob", i)
		n.JoinAsync(time.Now().Add(patience), name, newTestSession(n, name), func(err error) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			joined.Add(1)
		})
	}
	until(t, "all have joined", func() bool { return joined.Load() == addresses })
	if got := subscribed(); got != addresses {
		t.Errorf("%d of %d addresses are subscribed", got, addresses)
	}
	n.subscription.reset()
	until(t, "the node hears again", func() bool { return testutil.ToFloat64(n.m.Router.Resubscribes) == 1 })
	until(t, "all are subscribed again", func() bool { return subscribed() == addresses })
	c.node(0).wantOutcome("bob7", "are you there?", router.Delivered)
}

// A subscription that Redis has cut is made anew, by itself.
func TestCutSubscriptionIsMadeAnew(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		s := redistest.StartOwn(t)
		c := clusterOn(t, s, d, 2, nil)
		bob := c.node(1).connect("bob")
		c.node(0).wantOutcome("bob", "1", router.Delivered)
		for range 3 {
			before := testutil.ToFloat64(c.node(1).m.Router.Resubscribes)
			if err := c.client.Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			until(t, "the node hears again", func() bool {
				return testutil.ToFloat64(c.node(1).m.Router.Resubscribes) > before && c.node(1).subscription.hearing.Load()
			})
		}
		until(t, "both hear", func() bool { return len(c.node(0).Hindrances())+len(c.node(1).Hindrances()) == 0 })
		eve := c.node(1).connect("eve") // behind bob, whose subscription comes first
		c.node(0).wantOutcome("eve", "2", router.Delivered)
		eve.wantGot("2")
		c.node(0).wantOutcome("bob", "2", router.Delivered)
		bob.wantGot("1", "2")
	})
}

// A connection on which nothing comes any more is found by its second ping.
func TestSilentSubscriptionIsMadeAnew(t *testing.T) {
	s := redistest.StartOwn(t)
	proxy := redistest.StartProxy(t, s)
	n := startNode(t, "n0", s.Prefix, proxy.Client(t), router.Broadcast, nil)
	resubscribes := func() float64 { return testutil.ToFloat64(n.m.Router.Resubscribes) }
	n.subscription.ping(t.Context())
	until(t, "Redis has answered", func() bool { return !n.subscription.silent.Load() })
	n.subscription.ping(t.Context())
	until(t, "Redis has answered", func() bool { return !n.subscription.silent.Load() })
	if resubscribes() != 0 || !n.subscription.hearing.Load() {
		t.Error("a connection that answers was made anew")
	}
	if proxy.StallSubscriptions() != 1 {
		t.Fatal("the proxy has found no subscription")
	}
	n.subscription.ping(t.Context())
	if !n.subscription.hearing.Load() {
		t.Error("one ping is enough to call a connection silent")
	}
	n.subscription.ping(t.Context())
	until(t, "it is made anew", func() bool { return resubscribes() == 1 && n.subscription.hearing.Load() })
}

// A session that Redis does not confirm in time is refused, and leaves nothing behind.
func TestJoinEndsAtItsDeadline(t *testing.T) {
	s := redistest.StartOwn(t)
	c := clusterOn(t, s, router.Subscribe, 1, nil)
	n := c.node(0)
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Join(ctx, "bob", newTestSession(n, "bob")); !errors.Is(err, router.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("bob joins: %v", err)
	}
	gone := make(chan error, 2)
	eve := newTestSession(n, "eve")
	n.JoinAsync(time.Now().Add(patience), "eve", eve, func(err error) { gone <- err })
	n.Withdraw("eve", eve)
	n.Withdraw("eve", eve)
	if err := <-gone; !errors.Is(err, router.ErrUnavailable) || !errors.Is(err, errGone) {
		t.Errorf("eve, who has gone, joins: %v", err)
	}
	n.sessions.mu.Lock()
	defer n.sessions.mu.Unlock()
	if len(n.sessions.mu.of) != 0 || n.sessions.mu.count != 0 || len(gone) > 0 {
		t.Errorf("%d addresses and %d sessions are left", len(n.sessions.mu.of), n.sessions.mu.count)
	}
}

// The confirmation of a SUBSCRIBE welcomes nobody while an UNSUBSCRIBE and another SUBSCRIBE of the
// same address follow it.
func TestOnlyTheLastConfirmationWelcomes(t *testing.T) {
	n := newNode(t, "n0", "unused", redistest.Start(t).Client(t), router.Subscribe, nil)
	table := n.sessions
	joined := make(chan error, 1)
	j := &join{address: "bob", session: newTestSession(n, "bob"), joined: func(err error) { joined <- err }, timer: time.NewTimer(patience)}
	table.mu.Lock()
	table.subscribeLocked("bob") // of a session that has left again
	table.subscribeLocked("bob")
	table.mu.of["bob"] = &localAddress{waiting: []*join{j}}
	table.mu.Unlock()
	table.confirmed("bob")
	if len(joined) != 0 || len(table.of("bob")) != 0 {
		t.Error("the first confirmation welcomes")
	}
	table.confirmed("bob")
	if len(joined) != 1 || len(table.of("bob")) != 1 || len(table.mu.awaited) != 0 {
		t.Error("the last confirmation does not welcome")
	}
}
