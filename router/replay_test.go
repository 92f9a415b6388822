package router

import (
	"context"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// eavesdropper has recorded what nodes published, and plays it again.
type eavesdropper struct {
	c     *cluster
	tapes []*redis.Message
}

// eavesdrop records until the returned function is called.
func eavesdrop(c *cluster) (stop func() *eavesdropper) {
	sub := c.client.PSubscribe(context.Background(), c.prefix+":*")
	if _, err := sub.Receive(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	e, ended := &eavesdropper{c: c}, make(chan struct{})
	go func() {
		defer close(ended)
		for m := range sub.Channel(redis.WithChannelSize(1 << 12)) {
			if m.Payload == "end" {
				return
			}
			e.tapes = append(e.tapes, m)
		}
	}()
	return func() *eavesdropper {
		c.client.Publish(context.Background(), c.prefix+":end", "end")
		<-ended
		_ = sub.Close()
		return e
	}
}

// play hands all that was recorded to the nodes that it was for, whose windows of IDs
// have forgotten it.
func (e *eavesdropper) play() {
	for _, n := range e.c.nodes {
		in := newInbox(n.Router)
		for _, m := range e.tapes {
			if m.Channel == in.private {
				in.handle(m.Channel, m.Payload)
			}
		}
	}
}

// count returns how many messages the session got.
func (s *testSession) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// taken counts the envelopes that nodes have acted on, without probes.
func (c *cluster) taken() (counts []float64) {
	for _, n := range c.nodes {
		for k := range link.Kinds {
			if link.Kind(k) != link.KindProbe {
				counts = append(counts, testutil.ToFloat64(n.received[k]))
			}
		}
	}
	return counts
}

// awaitAcknowledged returns once all that a node has put on its links is acknowledged.
func (n *testNode) awaitAcknowledged() {
	n.t.Helper()
	until(n.t, "all is acknowledged", func() bool {
		for _, p := range n.peers.all() {
			if n.unacknowledged(p.node) > 0 {
				return false
			}
		}
		return true
	})
}

// forgetLinks has a node forget all others, as after a long silence.
func (n *testNode) forgetLinks() {
	until(n.t, "nothing waits on the links", func() bool {
		n.peers.mu.Lock()
		defer n.peers.mu.Unlock()
		for _, p := range slices.Clone(n.peers.mu.list) {
			p.mu.Lock()
			if p.link.Len() == 0 && !p.link.OwesAck() {
				n.peers.forgetLocked(p)
			}
			p.mu.Unlock()
		}
		return len(n.peers.mu.list) == 0
	})
}

func withKey(rule registry.Duplicates) func(*Options) {
	key := newKey()
	return func(o *Options) { o.ClusterKeys, o.Duplicates = []ClusterKey{key}, rule }
}

// Who may publish to a node's channel, and has recorded what came by it, does nothing
// with that, whatever kind of envelope it is, in what order it is played, and whether the nodes
// still know each other. They talk as before.
func TestBatchPlayedAgainDoesNothing(t *testing.T) {
	provoke := map[link.Kind]func(c *cluster, bob *testSession){
		link.KindMessage: func(c *cluster, _ *testSession) { c.node(0).wantOutcome("bob", "once", Delivered) },
		link.KindVoid: func(c *cluster, _ *testSession) {
			n := c.node(0)
			n.push("n1", link.Frame{Payload: bare(link.KindVoid), Urgent: true})
			n.flush()
		},
		link.KindClaimed: func(c *cluster, _ *testSession) { c.node(0).connect("bob") },
		link.KindReplaced: func(c *cluster, _ *testSession) {
			c.node(1).connect("carol")
			c.node(0).connect("carol")
		},
		link.KindReceipt: func(c *cluster, bob *testSession) {
			out := make(chan Outcome, 1)
			c.node(0).Send(Message{From: "tester", To: "bob", Data: []byte("confirm"), Confirm: true}, func(_ MessageID, o Outcome) { out <- o })
			bob.await("got it", func() bool { return len(bob.got) == 1 })
			c.node(1).Confirm("bob", bob.last.ID)
			c.node(1).Flush()
			c.node(0).want(out, Confirmed)
		},
		link.KindPruned: func(c *cluster, _ *testSession) {
			n := c.node(0)
			n.announcePruned("n1")
			n.flush()
		},
	}
	for k, provoke := range provoke {
		t.Run(k.String(), func(t *testing.T) {
			rule := registry.Allow
			if k == link.KindReplaced {
				rule = registry.Replace
			}
			c := newCluster(t, 2, withKey(rule))
			stop := eavesdrop(c)
			bob := c.node(1).connect("bob")
			provoke(c, bob)
			until(t, "it was taken", func() bool {
				return testutil.ToFloat64(c.node(0).received[k])+testutil.ToFloat64(c.node(1).received[k]) > 0
			})
			c.node(0).wantOutcome("bob", "last", Delivered)
			e := stop()
			bob.await("got what was sent", func() bool { return len(bob.got) > 0 && bob.got[len(bob.got)-1] == "last" })
			c.node(0).awaitAcknowledged() // the inbox is done with it: what is played comes by another one
			c.node(1).awaitAcknowledged()
			before, got := c.taken(), bob.count()

			e.play()
			slices.Reverse(e.tapes)
			e.play()
			c.node(0).forgetLinks()
			c.node(1).forgetLinks()
			e.play()
			if after := c.taken(); !slices.Equal(after, before) {
				t.Errorf("taken before %v, and after it was played again %v", before, after)
			}
			c.node(0).wantOutcome("bob", "new", Delivered)
			c.node(1).forgetLinks() // alone: its peer's life is not newer than what is forgotten
			c.node(0).wantOutcome("bob", "newer", Delivered)
			if bob.await("got what is new", func() bool { return len(bob.got) > got+1 }); bob.count() != got+2 {
				t.Errorf("bob got %d messages, want %d: %q", bob.count(), got+2, bob.got)
			}
		})
	}
}

// A message on its way is not delivered because an earlier one's acknowledgement is
// played again.
func TestAcknowledgementPlayedAgainAcknowledgesNothing(t *testing.T) {
	c := newCluster(t, 2, withKey(registry.Allow))
	stop := eavesdrop(c) // Redis counts it as a receiver of all
	c.node(1).connect("bob")
	for range 5 {
		c.node(0).wantOutcome("bob", "acknowledged", Delivered)
	}
	e := stop()
	ghost := c.client.Subscribe(t.Context(), c.node(1).keys.Channel("n1"))
	defer ghost.Close()
	if _, err := ghost.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.node(1).die()
	out := c.node(0).sendTo("bob", "never")
	e.play()
	if len(out) > 0 {
		t.Fatalf("outcome %v", <-out)
	}
	c.node(0).expire()
	c.node(0).want(out, Timeout)
}

// A probe proves that a node hears itself only while the node waits for this very one.
func TestProbePlayedAgainProvesNothing(t *testing.T) {
	n := newProbeNode(t)
	in := newInbox(n.Router)
	play := func(count uint64) {
		p := n.signed(in.private, func(b []byte) []byte { return link.AppendProbe(b, count) })
		in.handle(in.private, string(p.Payload))
	}
	n.awaitedProbe.Store(7)
	play(6)
	if n.heardProbe.Load() == 6 {
		t.Error("an earlier probe was taken for the one that is awaited")
	}
	play(7)
	if n.heardProbe.Load() != 7 {
		t.Error("the probe that is awaited was not taken")
	}
}

// newProbeNode returns a node that sends no probe while the test runs.
func newProbeNode(t *testing.T) *testNode {
	c := newCluster(t, 1, nil)
	return startNode(t, "quiet", c.client, c.prefix, relaxedHeartbeat, withKey(registry.Allow))
}
