package router

import (
	"testing"

	"github.com/beeline-ws/beeline/router/link"
)

// confirmed sends with Confirm and returns where the outcome will be.
func (n *testNode) confirmed(to, data string) <-chan Outcome {
	out := make(chan Outcome, 2)
	m := Message{From: "tester", To: to, Data: []byte(data), Confirm: true}
	n.Send(m, func(_ MessageID, o Outcome) { out <- o })
	return out
}

// lastID waits for the session's first message and returns its ID.
func (s *testSession) lastID() MessageID {
	s.node.t.Helper()
	s.await("got a message", func() bool { return len(s.got) > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.Confirm {
		s.node.t.Error("the session was not asked to confirm")
	}
	return s.last.ID
}

func (s *testSession) confirm(id MessageID) {
	s.node.Confirm(s.client, id)
	s.node.Flush()
}

func wantNone(t *testing.T, out <-chan Outcome) {
	t.Helper()
	select {
	case o := <-out:
		t.Errorf("outcome %v before the receiver's word", o)
	default:
	}
}

func TestReceiverConfirms(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		for _, holder := range []*testNode{c.node(0), c.node(1)} {
			bob := holder.connect("bob")
			out := c.node(0).confirmed("bob", "sign here")
			id := bob.lastID()
			wantNone(t, out)
			holder.Drop("eve", id) // it was not for her
			bob.confirm(MessageID{Origin: id.Origin, Count: id.Count + 1000})
			bob.confirm(MessageID{Origin: 7, Count: 7})
			wantNone(t, out)
			bob.confirm(id)
			c.node(0).want(out, Confirmed)
			bob.confirm(id) // again, which changes nothing
			bob.leave()
			until(t, "bob has left", func() bool { return len(c.owners("bob")) == 0 })
		}
		wantNothingPending(t, c)
	})
}

func TestUnconfirmedIsDeliveredAtTheDeadline(t *testing.T) {
	c := newCluster(t, 2, nil)
	for _, holder := range []*testNode{c.node(0), c.node(1)} {
		bob := holder.connect("bob")
		out := c.node(0).confirmed("bob", "no answer")
		until(t, "the sender's node knows that bob has it", func() bool {
			delivered := false
			c.node(0).eachPending(func(p *pending) { delivered = p.delivered() })
			return delivered
		})
		wantNone(t, out)
		c.node(0).expire()
		c.node(0).want(out, Delivered)
		bob.leave()
		until(t, "bob has left", func() bool { return len(c.owners("bob")) == 0 })
		c.node(0).want(c.node(0).confirmed("bob", "nobody"), Offline)
	}
	wantNothingPending(t, c)
}

// One of two sessions confirms; the other's node is not asked any more.
func TestOneOfManySessionsConfirms(t *testing.T) {
	c := newCluster(t, 3, nil)
	phone, desk := c.node(1).connect("bob"), c.node(2).connect("bob")
	out := c.node(0).confirmed("bob", "which of you?")
	phone.lastID()
	desk.confirm(desk.lastID())
	c.node(0).want(out, Confirmed)
	wantNothingPending(t, c)
}

func TestDroppedFromTheQueueIsOverloaded(t *testing.T) {
	c := newCluster(t, 2, nil)
	for _, holder := range []*testNode{c.node(0), c.node(1)} {
		bob := holder.connect("bob")
		out := c.node(0).confirmed("bob", "not that important")
		holder.Drop("bob", bob.lastID())
		c.node(0).want(out, Overloaded)
		bob.leave()
		until(t, "bob has left", func() bool { return len(c.owners("bob")) == 0 })
	}
	wantNothingPending(t, c)
}

func TestMessageIDs(t *testing.T) {
	id := MessageID{Origin: 0xcafe, Count: 1 << 63}
	if got, err := ParseMessageID(id.String()); err != nil || got != id {
		t.Errorf("%v became %v, %v", id, got, err)
	}
	for _, bad := range []string{"", "1", "-", "1-", "-1", "g-1", "1-g", "1-1-1", "10000000000000000-1", "+1-1"} {
		if id, err := ParseMessageID(bad); err == nil {
			t.Errorf("%q was read as %v", bad, id)
		}
	}
}

// Confirmations that a client makes up leave room on the link for messages.
func TestMadeUpConfirmationsDontFillTheLink(t *testing.T) {
	c := newCluster(t, 2, nil)
	alice, bob := c.node(0).connect("alice"), c.node(1).connect("bob")
	out := c.node(0).confirmed("bob", "sign here")
	id := bob.lastID()
	for i := range 2 * link.MaxWindow {
		c.node(1).Confirm("bob", MessageID{Origin: id.Origin, Count: id.Count + 1 + uint64(i)})
	}
	c.node(1).wantOutcome("alice", "there is room", Delivered)
	alice.wantGot("there is room")
	until(t, "the link has room again", func() bool {
		return c.node(1).unacknowledged("n0") == 0
	})
	bob.confirm(id)
	c.node(0).want(out, Confirmed)
}
