package router

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// newSplitCluster starts n nodes; n1 talks with Redis by way of the proxy.
func newSplitCluster(t *testing.T, n int, change func(*Options)) (*cluster, *redistest.Proxy) {
	t.Helper()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	proxy := redistest.StartProxy(t, s)
	dialed := 0
	dial := func() redis.UniversalClient {
		if dialed++; dialed == 3 { // the cluster's own, n0, n1
			return proxy.Client(t)
		}
		return s.Client(t)
	}
	return clusterOn(t, shortHeartbeat, s, s.Prefix, dial, n, change), proxy
}

// lapses waits until a node has no lease any more.
func (c *cluster) lapses(node string) {
	c.t.Helper()
	until(c.t, "the lease of "+node+" ends", func() bool {
		_, ok, err := c.node(0).reg.Node(c.t.Context(), node)
		return err == nil && !ok
	})
}

func (n *testNode) heals() {
	n.t.Helper()
	until(n.t, n.opts.NodeID+" is healthy", func() bool { return n.unready() == nil && n.reg.AllSettled() })
}

// The network swallows the connection that a node hears by, and nothing else: its
// PUBLISHes go out, Redis counts it as a subscriber. It finds out by its probe.
func TestNodeWhoseSubscriptionIsSwallowedHearsAgain(t *testing.T) {
	c, proxy := newSplitCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "1", Delivered)
	if n := proxy.StallSubscriptions(); n != 1 {
		t.Fatalf("%d connections are subscribed, want 1", n)
	}
	var outs []<-chan Outcome
	want := []string{"1"}
	for _, text := range []string{"2", "3", "4"} {
		outs, want = append(outs, c.node(0).sendTo("bob", text)), append(want, text)
	}
	for _, out := range outs {
		c.node(0).want(out, Delivered)
	}
	bob.wantGot(want...)
	c.node(1).heals()
	proxy.Mend() // what was swallowed arrives after all
	c.node(0).wantOutcome("bob", "5", Delivered)
	bob.wantGot(append(want, "5")...)
	if c.node(0).declaredDead() > 0 {
		t.Error("a living node was declared dead")
	}
}

// A node that is frozen for longer than its lease, or cut off, must take nothing back
// when it goes on: what others claimed meanwhile is theirs, and what was on its way
// from it comes late.
func TestFrozenNodeTakesNothingBack(t *testing.T) {
	for _, rule := range []registry.Duplicates{registry.Replace, registry.Reject} {
		t.Run(string(rule), func(t *testing.T) {
			c, proxy := newSplitCluster(t, 3, func(o *Options) { o.Duplicates, o.MessageTimeout = rule, patience })
			old, stays := c.node(1).connect("bob"), c.node(1).connect("carol")
			gone := c.node(1).connect("dave")
			proxy.Stall()
			gone.leave() // its release is on its way, and comes late
			c.lapses("n1")
			bob, dave := c.node(2).connect("bob"), c.node(2).connect("dave")
			c.node(0).wantOutcome("bob", "1", Delivered)
			bob.wantGot("1")
			proxy.Mend()
			old.await("was evicted", func() bool { return old.evicted != nil })
			c.node(1).heals()
			for _, from := range []*testNode{c.node(0), c.node(1)} {
				from.wantOutcome("bob", "2", Delivered)
				from.wantOutcome("dave", "2", Delivered)
				from.wantOutcome("carol", "2", Delivered)
			}
			bob.wantGot("1", "2", "2")
			dave.wantGot("2", "2")
			stays.wantGot("2", "2")
			for _, client := range []string{"bob", "dave"} {
				if owners := c.owners(client); len(owners) != 1 || owners[0].NodeID != "n2" {
					t.Errorf("owners of %s: %v, want n2 alone", client, owners)
				}
			}
			if len(old.got) > 0 {
				t.Errorf("the session that was replaced got %q", old.got)
			}
		})
	}
}

// Under Allow both stay, and both get every message.
func TestSplitNodeSharesItsClientsAfterwards(t *testing.T) {
	c, proxy := newSplitCluster(t, 3, nil)
	here := c.node(1).connect("bob")
	c.node(1).wantOutcome("bob", "1", Delivered)
	proxy.Stall()
	c.lapses("n1")
	if err := c.node(1).unready(); err == nil {
		t.Error("a node without Redis is healthy")
	}
	there := c.node(2).connect("bob") // has connected anew elsewhere
	c.node(0).wantOutcome("bob", "2", Delivered)
	there.wantGot("2")
	late := c.node(1).sendTo("bob", "3") // waits: nobody can know who else owns bob
	proxy.Mend()
	c.node(1).want(late, Delivered)
	c.node(1).heals()
	until(t, "both are owners", func() bool { return len(c.owners("bob")) == 2 })
	for _, from := range c.nodes {
		from.wantOutcome("bob", "4", Delivered)
	}
	there.wantGot("2", "3", "4", "4", "4")
	here.await("got what came after the split", func() bool { return len(here.got) >= 4 && here.got[len(here.got)-3] == "4" })
	if here.evicted != nil || there.evicted != nil {
		t.Error("a session was evicted under allow")
	}
}

// While a node is cut off, its sessions stay and its newcomers are refused.
func TestSplitNodeWelcomesNobody(t *testing.T) {
	c, proxy := newSplitCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	proxy.Stall()
	until(t, "it notices", func() bool { return c.node(1).unready() != nil })
	if _, err := c.node(1).tryConnect("carol"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("joining: %v, want that it is unavailable", err)
	}
	c.node(1).wantTimeout("nobody", "x")
	proxy.Mend()
	c.node(1).heals()
	c.node(0).wantOutcome("bob", "1", Delivered)
	c.node(0).wantOutcome("carol", "1", Offline)
	bob.wantGot("1")
}
