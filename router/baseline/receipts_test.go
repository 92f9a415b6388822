package baseline

import (
	"testing"

	"github.com/beeline-ws/beeline/router"
)

// confirmed sends with Confirm and returns where the outcome will be.
func (n *testNode) confirmed(to, data string) <-chan router.Outcome {
	return n.send(router.Message{To: to, Data: []byte(data), Confirm: true})
}

// lastID waits for the session's first message and returns its ID.
func (s *testSession) lastID() router.MessageID {
	s.node.t.Helper()
	s.await("got a message", func() bool { return len(s.got) > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.Confirm {
		s.node.t.Error("the session was not asked to confirm")
	}
	return s.last.ID
}

func (s *testSession) confirm(id router.MessageID) {
	s.node.Confirm(s.client, id)
	s.node.Flush()
}

func wantNone(t *testing.T, out <-chan router.Outcome) {
	t.Helper()
	select {
	case o := <-out:
		t.Errorf("outcome %v before the receiver's word", o)
	default:
	}
}

// wantNothingPending waits until no node keeps a message.
func wantNothingPending(t *testing.T, c *cluster) {
	t.Helper()
	for _, n := range c.nodes {
		until(t, "nothing is pending", func() bool {
			count, bytes, waiting := n.pendingCount()
			return count == 0 && bytes == 0 && waiting == 0
		})
	}
}

// awaitReached waits until the sender's node knows that so many nodes have its oldest message.
func (n *testNode) awaitReached(nodes int) {
	n.t.Helper()
	until(n.t, "the sender's node knows who has it", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.mu.oldest != nil && n.mu.oldest.reached == nodes
	})
}

func TestReceiverConfirms(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		for _, holder := range []*testNode{c.node(0), c.node(1)} {
			bob := holder.connect("bob on " + holder.opts.NodeID) // a late copy of a broadcast is for one of them only
			out := c.node(0).confirmed(bob.client, "sign here")
			id := bob.lastID()
			c.node(0).awaitReached(1)
			holder.Drop("eve", id) // it was not for her
			bob.confirm(router.MessageID{Origin: id.Origin, Count: id.Count + 1000})
			bob.confirm(router.MessageID{Origin: 7, Count: 7})
			wantNone(t, out)
			bob.confirm(id)
			c.node(0).want(out, router.Confirmed)
			bob.confirm(id) // again, which changes nothing
			bob.leave()
		}
		wantNothingPending(t, c)
	})
}

// A confirmation that nobody has asked for is one that a client makes up.
func TestUnaskedConfirmationChangesNothing(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, nil).node(0)
	bob := n.connect("bob")
	bob.full.Store(true)
	out := n.send(router.Message{To: "nobody", Data: []byte("x"), Receipt: true})
	n.published()
	n.mu.Lock()
	id := n.mu.oldest.ID
	n.mu.Unlock()
	n.Confirm("nobody", id)
	wantNone(t, out)
	n.expireAll()
	n.want(out, router.Timeout)
}

func TestUnconfirmedIsDeliveredAtTheDeadline(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		c := newCluster(t, d, 2, nil)
		for _, holder := range []*testNode{c.node(0), c.node(1)} {
			bob := holder.connect("bob on " + holder.opts.NodeID)
			out := c.node(0).confirmed(bob.client, "no answer")
			c.node(0).awaitReached(1)
			wantNone(t, out)
			c.node(0).expireAll()
			c.node(0).want(out, router.Delivered)
			bob.leave()
		}
		wantNothingPending(t, c)
	})
}

// One of two sessions confirms; the other's word is not waited for.
func TestOneOfManySessionsConfirms(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		c := newCluster(t, d, 3, nil)
		phone, desk := c.node(1).connect("bob"), c.node(2).connect("bob")
		out := c.node(0).confirmed("bob", "which of you?")
		phone.lastID()
		desk.confirm(desk.lastID())
		c.node(0).want(out, router.Confirmed)
		wantNothingPending(t, c)
	})
}

// What one node drops another one still has; what all have dropped is Overloaded.
func TestDroppedFromTheQueueIsOverloaded(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		c := newCluster(t, d, 3, nil)
		phone, desk := c.node(1).connect("bob"), c.node(2).connect("bob")
		out := c.node(0).confirmed("bob", "not that important")
		c.node(0).awaitReached(2)
		phone.node.Drop("bob", phone.lastID())
		until(t, "the sender's node knows of it", func() bool {
			c.node(0).mu.Lock()
			defer c.node(0).mu.Unlock()
			return c.node(0).mu.oldest.dropped == 1
		})
		wantNone(t, out)
		desk.node.Drop("bob", desk.lastID())
		c.node(0).want(out, router.Overloaded)
		wantNothingPending(t, c)
	})
}

// Receipts that wait, and the nodes that are remembered for confirmations, are bounded.
func TestMadeUpConfirmationsAreBounded(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, nil).node(0)
	n.mu.Lock()
	defer n.mu.Unlock()
	x := receipt{1 << 60, router.Confirmed, "bob"}
	l := newReplies()
	for range 2 * maxReplyBytes / 10 {
		l.add("n1", &x)
	}
	if l.bytes > maxReplyBytes+len(x.append(nil)) || len(l.of["n1"].frames) != l.bytes {
		t.Errorf("%d bytes of receipts wait, in %d; allowed are %d", l.bytes, len(l.of["n1"].frames), maxReplyBytes)
	}
	if taken := l.take(); taken["n1"].count == 0 || l.bytes != 0 || !l.empty() {
		t.Errorf("%d bytes wait after all was taken", l.bytes)
	}
	for origin := range uint64(3 * maxOrigins) {
		l.cameFrom("n1", origin)
		if len(l.origins) > maxOrigins || l.origins[origin] != "n1" {
			t.Fatalf("%d origins are remembered, allowed are %d", len(l.origins), maxOrigins)
		}
	}
}
