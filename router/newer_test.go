package router

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A client moves from one node to another while a message to it is under way: it had
// the message on the old node, and its new session is not owed it.
func TestDeliveredIsNotSentToNewerSessions(t *testing.T) {
	c := newCluster(t, 3, nil)
	n, old, next := c.node(0), c.node(1), c.node(2)
	bob := old.connect("bob")
	moved := newTestSession(next, "bob")
	h := &localAddress{join: &pendingJoin{}} // a claim is under way
	next.local.mu.Lock()
	next.local.byName["bob"] = h
	next.local.mu.Unlock()
	entry := n.keys.Address("bob")
	if err := c.client.HSet(t.Context(), entry, "n2", "c1a1").Err(); err != nil {
		t.Fatal(err)
	}
	n.wantOutcome("bob", "while moving", Delivered)
	until(t, "the new owner has refused it", func() bool { return testutil.ToFloat64(n.stale[staleJoining]) > 0 })
	next.local.mu.Lock()
	h.join, h.sessions, h.since = nil, []Session{moved}, time.Now().UnixMicro()
	next.local.mu.Unlock()
	wantNothingPending(t, c)
	n.wantOutcome("bob", "to both", Delivered)
	bob.wantGot("while moving", "to both")
	moved.wantGot("to both")
	moved.leave()
}

// An owner that only is not sure of its co-owners has sessions which are owed the
// message that the others have.
func TestDeliveredIsSentToOwnersThatWereNotSure(t *testing.T) {
	c := newCluster(t, 3, nil)
	phone, desk := c.node(1).connect("bob"), c.node(2).connect("bob")
	c.node(0).wantOutcome("bob", "first", Delivered)
	phone.wantGot("first")
	desk.wantGot("first")
	for range 20 {
		c.node(2).generation.end()
		c.node(0).wantOutcome("bob", "again", Delivered)
	}
	wantNothingPending(t, c)
	for _, s := range []*testSession{phone, desk} {
		s.await("got all", func() bool { return len(s.got) == 21 })
	}
}

// A route that has to wait for acknowledgements nobody was waiting for asks for them.
func TestLazyAcknowledgementsHoldNobodyUp(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) {
		o.OwnerCache, o.MessageTimeout, o.lazyAck = -1, 10*patience, 5*patience // longer than the test waits
	})
	bob := c.node(1).connect("bob")
	c.node(0).Send(Message{From: "tester", To: "bob", Data: []byte("no receipt")}, nil)
	bob.wantGot("no receipt")
	bob.leave()
	moved := c.node(2).connect("bob")
	c.node(0).wantOutcome("bob", "moved", Delivered)
	moved.wantGot("moved")
}

// A repeat is known also where its first came as one that another owner had delivered.
func TestRepeatOfOneDeliveredElsewhere(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := n.connect("bob")
	first := Message{ID: MessageID{Origin: 7, Count: 1}, From: "alice", To: "bob", Data: []byte("once"), Ref: []byte("1")}
	first.contentHash, first.since = first.hashContent(), time.Now().UnixMicro()
	if f := n.deliverHere(&first, noneAssumed, n.now(), n.now()); f != ackDelivered {
		t.Fatalf("the first meets result %v", f)
	}
	n.want(n.repeat("alice", "1", "once"), Delivered)
	n.wantOutcome("bob", "next", Delivered)
	bob.wantGot("once", "next")
}

// A claim may wait for Redis for as long as messages live. Who sends to its address asks
// more and more seldom whether it is ready.
func TestOwnerThatIsNotReadyIsAskedSeldom(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.MessageTimeout = 2 * time.Second })
	n, owner := c.node(0), c.node(1)
	owner.local.mu.Lock()
	owner.local.byName["bob"] = &localAddress{join: &pendingJoin{}}
	owner.local.mu.Unlock()
	if err := n.client.HSet(t.Context(), n.keys.Address("bob"), "n1", "c1a1").Err(); err != nil {
		t.Fatal(err)
	}
	n.wantOutcome("bob", "1", Timeout)
	if asked := testutil.ToFloat64(n.m.Router.Lookups); asked > 25 {
		t.Errorf("the owner was looked up %v times within 2 s", asked)
	}
}

// Only an owner that is not ready is waited for longer each time.
func TestPauseBeforeTheNextLookup(t *testing.T) {
	for _, test := range []struct {
		p    *pending
		want time.Duration
	}{
		{&pending{hops: 2}, 2 * retryMoving},
		{&pending{hops: 1, again: againNotReady, unready: 3}, 8 * retryMoving},
		{&pending{hops: 2, unready: 5}, 2 * retryMoving}, // it was not ready, and now it has moved
	} {
		if got := test.p.retryDelay(); got != test.want {
			t.Errorf("hops %d, again %v, unready %d: %v, want %v", test.p.hops, test.p.again, test.p.unready, got, test.want)
		}
	}
}
