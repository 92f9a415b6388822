package router

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
)

// The messages without an outcome are bounded in number and in bytes. Each is another
// client's to another one, so nobody has a large share of the room.
func TestMemoryForPendingMessagesIsBounded(t *testing.T) {
	for name, bound := range map[string]struct{ messages, bytes, fit int }{
		"messages": {100, 1 << 20, 100},
		"bytes":    {1000, 1005, 100}, // 10 each
	} {
		t.Run(name, func(t *testing.T) {
			c := newOwnCluster(t, 1, func(o *Options) { o.MessageTimeout, o.MaxPendingBytes = 4*patience, bound.bytes })
			n := c.node(0)
			n.narrow(bound.messages)
			c.redis.Pause() // no lookup is answered
			t.Cleanup(c.redis.Resume)
			for range 2 { // drained, it can be filled again
				outcomes := make(map[Outcome]int)
				for i := range bound.fit + 7 {
					client := strconv.Itoa(i)
					n.Router.Send(Message{From: "from" + client, To: "to" + client, Data: make([]byte, 10)},
						func(_ MessageID, o Outcome) { outcomes[o]++ })
				}
				kept, bytes := n.pendingMessages()
				if kept != bound.fit || bytes != 10*bound.fit || outcomes[Overloaded] != 7 || len(outcomes) != 1 {
					t.Errorf("%d messages are kept, %d bytes; want %d; outcomes at once: %v", kept, bytes, bound.fit, outcomes)
				}
				n.expire()
				wantNothingPending(t, c)
			}
			if lacked := n.lacked(overloadPending); lacked != 14 {
				t.Errorf("%v messages found no room among those that are pending, want 14", lacked)
			}
			if got := n.unused.Load(); got > maxUnused {
				t.Errorf("%d are kept for the next messages", got)
			}
		})
	}
}

// What is kept for the next messages is bounded, in number and in size.
func TestWhatIsKeptForTheNextMessagesIsBounded(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	s := n.shards[0]
	s.lock()
	defer s.mu.Unlock()
	for range 2 {
		for range maxUnused + 5 {
			s.reuse(&pending{room: make([]byte, 1)})
			n.publishing.reuseLocked(new(post))
		}
		s.reuse(&pending{room: make([]byte, maxRoom+1)})
		if len(s.unused) != maxUnused || len(n.publishing.unused) != maxUnusedPosts {
			t.Errorf("%d messages and %d posts are kept, want %d and %d", len(s.unused), len(n.publishing.unused), maxUnused, maxUnusedPosts)
		}
		for s.unusedPending() != nil && len(s.unused) > 0 {
			n.publishing.newPostLocked(nil, link.Batch{})
		}
	}
	s.reuse(&pending{room: make([]byte, maxRoom+1)})
	if len(s.unused) != 0 || n.unused.Load() != 0 {
		t.Error("the room of a large message is kept")
	}
}

// The owners of addresses that were used last are kept, and no more.
func TestOwnerCacheIsBounded(t *testing.T) {
	const limit = 8
	c := newCluster(t, 2, func(o *Options) { o.OwnerCache = limit })
	n := c.node(0)
	kept := func() int {
		s := n.shards[0] // there is one shard for so few
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.routes) + 1000*(len(n.shards)-1)
	}
	for i := range 3 * limit {
		client := fmt.Sprint("bob", i)
		c.node(1).connect(client)
		n.wantOutcome(client, "x", Delivered)
		if i >= limit {
			until(t, "the owners used longest ago are forgotten", func() bool { return kept() == limit })
		}
	}
	n.wantOutcome("bob0", "x", Delivered) // is looked up again
	until(t, "one makes room for another one", func() bool { return kept() == limit })
}

// Entries that wait to be pruned are bounded: the others stay until they are met again.
func TestPrunesAreBounded(t *testing.T) {
	q := prunes{some: task.Real{}.NewSignal()}
	for range 2 {
		for i := range maxPrunes + 5 {
			q.add(staleEntry{address: strconv.Itoa(i)})
		}
		if got := len(q.take()); got != maxPrunes || len(q.entries) != 0 {
			t.Errorf("%d entries wait, and %d after that; want %d", got, len(q.entries), maxPrunes)
		}
	}
}

// A round trip has a bounded number of lookups; the others wait for the next one, and each
// is made once.
func TestLookupsOfARoundTripAreBounded(t *testing.T) {
	const most = 100
	few, many := new(share), new(share)
	few.messages.Store(1)
	many.messages.Store(manyMessages + 1)
	for _, c := range []struct{ few, many, trips int }{{250, 0, 3}, {0, 250, 3}, {150, 150, 3}, {10, 90, 1}, {1000, 30, 11}} {
		var q lookupQueue
		add := func(s *share, count int) {
			for range count {
				rt := &route{state: routeQueued, waiting: []*pending{{sender: s}}}
				rt.lookup = q.add(nil, rt)
			}
		}
		add(few, c.few)
		add(many, c.many)
		trips, made := 0, make(map[uint64]bool)
		for q.len() > 0 && trips < 20 {
			trips++
			taken := q.take(most)
			if len(taken) > most {
				t.Errorf("%+v: %d lookups in one round trip", c, len(taken))
			}
			for _, l := range taken {
				made[l.number] = true
			}
		}
		if len(made) != c.few+c.many || trips != c.trips {
			t.Errorf("%+v: %d lookups were made in %d round trips", c, len(made), trips)
		}
	}
}

// Dead nodes, and which node gives its messages which IDs, are remembered up to a bound.
func TestWhatIsRememberedOfNodesIsBounded(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n := c.node(0)
	for i := range maxPeers {
		n.markDead(fmt.Sprint("former", i))
	}
	for i := range maxPeers + 5 {
		n.origins.note("another", uint64(i))
	}
	c.node(1).connect("bob")
	n.wantOutcome("bob", "x", Delivered)
	c.node(1).die()
	n.wantOutcome("bob", "y", Offline)
	if dead := n.declaredDead(); dead > maxPeers || !n.peers.isDead("n1") {
		t.Errorf("%d dead nodes are remembered, at most %d are allowed; the last one: %v", dead, maxPeers, n.peers.isDead("n1"))
	}
	if ids := len(n.origins.byName); ids > maxPeers {
		t.Errorf("%d nodes' IDs are remembered, at most %d are allowed", ids, maxPeers)
	}
}

// The window of a link to a node that acknowledges nothing is bounded. Once it does, there
// is room again.
func TestFullLinkIsOverloaded(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n := c.node(0)
	c.node(1).connect("bob")
	n.wantOutcome("bob", "0", Delivered)
	p := n.suspend("n1")
	outcomes := make(chan Outcome, 2*link.MaxWindow)
	for i := range 2 * link.MaxWindow {
		n.Send(Message{From: strconv.Itoa(i), To: "bob", Data: []byte("1")}, func(_ MessageID, o Outcome) { outcomes <- o })
	}
	if got := n.unacknowledged("n1"); got > link.MaxWindow {
		t.Errorf("%d envelopes wait on the link, at most %d are allowed", got, link.MaxWindow)
	}
	n.resume(p)
	n.flush()
	counts := make(map[Outcome]int)
	for range 2 * link.MaxWindow {
		counts[n.receiveOutcome(outcomes)]++
	}
	if counts[Overloaded] == 0 || counts[Delivered] == 0 || len(counts) != 2 {
		t.Errorf("outcomes %v, want delivered and overloaded", counts)
	}
	n.wantOutcome("bob", "last", Delivered)
}

// receiveOutcome returns the next outcome.
func (n *testNode) receiveOutcome(outcomes <-chan Outcome) Outcome {
	n.t.Helper()
	var got Outcome
	until(n.t, "there is an outcome", func() bool {
		select {
		case got = <-outcomes:
			return true
		default:
			return false
		}
	})
	return got
}

// Each list of sessions that a message was sent to is kept while it waits for one of them;
// there are only so many as sessions come and go.
func TestListsOfSessionsThatWaitAreBounded(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	n.crowd("bob", maxFront)
	last := newGate()
	n.join("bob", last)
	outcomes := make(map[Outcome]int)
	for range maxPortions + 10 {
		outcomes[<-n.sendTo("bob", "1")]++
		n.crowd("bob", 1) // another list
	}
	if outcomes[Delivered] < maxPortions || outcomes[Delivered] > maxPortions+1 || outcomes[Overloaded] == 0 {
		t.Errorf("outcomes %v, want as many delivered as lists may wait: %d, and one that is being delivered", outcomes, maxPortions)
	}
	close(last.open)
	until(t, "all are delivered", func() bool { return int(last.got.Load()) == outcomes[Delivered] })
	n.wantOutcome("bob", "2", Delivered)
}

// What messages of back ends may have without an outcome is bounded in bytes, too: to a
// quarter of the room.
func TestBytesOfAnInletAreBounded(t *testing.T) {
	const size = 10
	n := newCluster(t, 1, func(o *Options) { o.MaxPendingBytes = 100 * size * externalFraction }).node(0)
	in := newInlet(n.Router)
	for range 2 {
		for i := range 105 {
			if fits := in.admit(size); fits != (i < 100) {
				t.Fatalf("message %d of %d bytes is admitted: %v", i, size, fits)
			}
		}
		for range 100 {
			in.settle(size)
		}
		if in.inFlight != 0 || in.inFlightBytes != 0 {
			t.Errorf("%d messages, %d bytes are left", in.inFlight, in.inFlightBytes)
		}
	}
}

// A message that was sent to stale owners more often than a node does is refused.
func TestMessageThatWentTooFarIsRefused(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	bob := n.connect("bob")
	in := newInbox(n.Router)
	in.now = n.now()
	for hops, want := range map[int]link.NackCode{maxHops: 0, maxHops + 1: link.NackOverloaded} {
		a := &receivedMessage{
			Message:  Message{ID: MessageID{Origin: 1, Count: uint64(hops)}, From: "alice", To: "bob", Data: []byte(strconv.Itoa(hops))},
			flags:    link.FlagFirst,
			hops:     byte(hops),
			accepted: in.now.UnixMicro(),
			assumed:  noneAssumed,
		}
		if got := in.message(new(link.Refused), a); got != want {
			t.Errorf("after %d hops: code %v, want %v", hops, got, want)
		}
	}
	bob.wantGot(strconv.Itoa(maxHops))
	if got := testutil.ToFloat64(n.drops[dropHops]); got != 1 {
		t.Errorf("%v were dropped, want 1", got)
	}
}
