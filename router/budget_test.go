package router

import (
	"context"
	"strconv"
	"testing"

	"github.com/beeline-ws/beeline/router/link"
)

// limitLag has Redis end subscriptions that lag by more bytes than that.
func (c *cluster) limitLag(bytes int) {
	c.t.Helper()
	limit := "pubsub " + strconv.Itoa(bytes) + " 0 0"
	if err := c.client.ConfigSet(context.Background(), "client-output-buffer-limit", limit).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// A message that is larger than Redis lets a subscriber lag is overloaded once it has
// ended the subscription; what is sent to the same node meanwhile arrives all the same.
func TestMessageTooLargeForRedisIsNotRepeated(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	bob, ann := c.node(1).connect("bob"), c.node(1).connect("ann")
	n.wantOutcome("bob", "first", Delivered)
	n.wantOutcome("ann", "first", Delivered)
	c.limitLag(256 << 10)
	large := n.sendTo("bob", string(make([]byte, 1<<20)))
	small := n.sendTo("ann", "meanwhile")
	n.want(large, Overloaded)
	n.want(small, Delivered)
	n.wantOutcome("bob", "last", Delivered)
	bob.wantGot("first", "last")
	ann.wantGot("first", "meanwhile")
	if lacked := n.lacked(overloadRedis); lacked != 1 {
		t.Errorf("%v messages are counted as too large for Redis, want 1", lacked)
	}
	wantNothingPending(t, c)
}

// Many messages together are never more than a subscriber may lag for long: what was lost
// once is published in smaller parts, and arrives.
func TestManyMessagesFitWhatRedisAllows(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	bob := c.node(1).connect("bob")
	n.wantOutcome("bob", "first", Delivered)
	c.limitLag(256 << 10)
	var outcomes []<-chan Outcome
	for range 200 {
		out := make(chan Outcome, 1)
		m := Message{From: "ann", To: "bob", Data: make([]byte, 20<<10), Receipt: true}
		n.Router.Send(m, func(_ MessageID, o Outcome) { out <- o })
		outcomes = append(outcomes, out)
	}
	n.Flush()
	for _, o := range outcomes {
		n.want(o, Delivered)
	}
	bob.await("got all", func() bool { return len(bob.got) == 201 })
	wantNothingPending(t, c)
}

// What a lost acknowledgement leaves in doubt is not lied about: who has had a message
// that is withdrawn says so.
func TestWithdrawnMessageThatArrivedIsDelivered(t *testing.T) {
	in := newInbox(newCluster(t, 1, nil).node(0).Router)
	id := MessageID{1, 2}
	in.recent.add(id)
	for _, one := range []struct {
		id   MessageID
		want link.NackCode
	}{{id, 0}, {MessageID{id.Origin, id.Count + 1}, link.NackOverloaded}} {
		e := link.Envelopes(link.AppendWithdrawn(nil, link.MessageID(one.id)))
		if code, _ := in.take(&link.Header{From: "n0"}, new(link.Refused), e.Next()); code != one.want {
			t.Errorf("message %s is answered with %d, want %d", one.id, code, one.want)
		}
	}
}
