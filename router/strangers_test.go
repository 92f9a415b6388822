package router

import (
	"context"
	"strconv"
	"testing"
)

// forge writes so many owners of an address into Redis that never lived.
func (c *cluster) forge(address string, owners int) {
	c.t.Helper()
	pipe := c.client.Pipeline()
	for i := range owners {
		pipe.HSet(context.Background(), c.nodes[0].keys.Address(address), "ghost"+strconv.Itoa(i), strconv.Itoa(i+1))
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// linked counts the peers of a node, and those that are dead or do not answer.
func (n *testNode) linked() (peers, troubled int) {
	return n.peers.len(), int(n.peers.troubled.Load())
}

// Owners that somebody has made up cost a look at their leases and no links; a client
// who is connected gets what is sent, one who is not is offline, and the entries go.
func TestMadeUpOwnersCostNothing(t *testing.T) {
	const owners = 1000
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	c.forge("bob", owners)
	c.forge("nobody", owners)
	n.wantOutcome("bob", "x", Delivered)
	bob.wantGot("x")
	n.wantOutcome("nobody", "x", Offline)
	if peers, troubled := n.linked(); peers > maxStrangers || troubled > 0 {
		t.Errorf("%d peers, %d of them in trouble, to owners that never lived", peers, troubled)
	}
	until(t, "the entries are pruned", func() bool {
		n.Send(Message{From: "ann", To: "bob", Data: []byte("y")}, nil)
		return len(c.owners("bob")) == 1
	})
}

// A newcomer does not wait for owners that never lived.
func TestMadeUpOwnersHoldUpNoNewcomer(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	c.forge("bob", 500)
	bob := n.connect("bob")
	if links, _ := n.linked(); links > maxStrangers {
		t.Errorf("%d links to owners that never lived", links)
	}
	c.node(1).wantOutcome("bob", "x", Delivered)
	bob.wantGot("x")
}

// A client on more nodes than are strangers at once is reached on all of them, while the
// registry is settled.
func TestClientOnManyNodesIsReached(t *testing.T) {
	c := newCluster(t, maxStrangers+2, nil)
	var all []*testSession
	for i := range maxStrangers + 1 {
		all = append(all, c.node(i+1).connect("bob"))
	}
	c.node(0).wantOutcome("bob", "x", Delivered)
	for _, s := range all {
		s.wantGot("x")
	}
}

// While leases may be lost nobody is offline because his owners have none: the lookup is
// made again.
func TestManyOwnersWithoutLeasesWaitUntilTheirDeathIsSure(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.node(0)
	c.forge("bob", 2*maxStrangers)
	lookups := n.reg.LookupAll(context.Background(), []string{"bob"})
	rt, s := n.lockNewRoute("bob")
	rt.on(s, routeEvent{kind: lookupStarted})
	s.unlockAndNotify()
	unsure := map[int]crowd{0: {dead: nodeSet{}, unsure: true}}
	if empty := n.lookups.answer([]lookup{{shard: s, route: rt}}, lookups, nil, unsure); len(empty) > 0 || len(rt.owners) > 0 || rt.state != routeDelayed {
		t.Errorf("the lookup of owners whose death is not sure counts: %d empty, %d owners", len(empty), len(rt.owners))
	}
}

// A client that sends to many addresses at once has others' lookups not wait behind its
// own, and its own not for ever.
func TestLookupsAreSharedBySenders(t *testing.T) {
	shares := newShares(maxIdleShares)
	busy, quiet := shares.get("busy"), shares.get("quiet")
	busy.messages.Store(manyMessages + 1)
	quiet.messages.Store(1)
	var q lookupQueue
	asked := func(s *share) *route {
		rt := &route{state: routeQueued}
		rt.waiting = append(rt.waiting, &pending{sender: s})
		return rt
	}
	add := func(rt *route) { rt.lookup = q.add(nil, rt) }
	for range 5000 {
		add(asked(busy))
	}
	for range 1000 {
		add(asked(quiet))
	}
	count := func(taken []lookup) (quiets int) {
		for _, l := range taken {
			if l.route.firstSender() == quiet {
				quiets++
			}
		}
		return quiets
	}
	first := q.take(400)
	if quiets := count(first); len(first) != 400 || quiets != 300 {
		t.Errorf("of %d lookups %d are for who sends little, want 300 of 400", len(first), quiets)
	}
	left := 0
	for q.len() > 0 {
		taken := q.take(400)
		if len(taken) > 400 {
			t.Fatalf("%d lookups at once", len(taken))
		}
		left += len(taken)
	}
	if left != 5600 {
		t.Errorf("%d lookups followed, want 5600", left)
	}
}
