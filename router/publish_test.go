package router

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// Several PUBLISHes of a link are under way at a time, and all of them reach
// nobody: none of their messages can have arrived.
func TestNothingThatReachedNobodyIsInDoubt(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "1", Delivered)
	c.node(1).die()
	var outs []<-chan Outcome
	for range 20 {
		outs = append(outs, c.node(0).sendTo("bob", "x"))
	}
	for _, out := range outs {
		c.node(0).want(out, Offline)
	}
}

// What does not fit into one batch follows.
func TestMoreThanABatchArrives(t *testing.T) {
	c := newCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	n := c.node(0)
	n.wantOutcome("bob", "first", Delivered)
	data := strings.Repeat("x", 64<<10)
	for range 100 {
		n.Router.Send(Message{From: "a", To: "bob", Data: []byte(data)}, nil)
	}
	n.Flush()
	bob.await("got all", func() bool { return len(bob.got) == 101 })
}

// A batch that no link of ours can have sent is not answered, now or later.
func TestImpossibleBatchIsNotAnswered(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	batch := link.AppendHeader(nil, &link.Header{From: "stranger", Life: 7, First: 3, Base: 5})
	in := newInbox(n.Router)
	in.handle(in.private, string(link.AppendBare(batch, link.KindVoid)))
	if l := n.peers.get("stranger"); l == nil || l.queued || l.link.OwesAck() {
		t.Errorf("the stranger is to be answered: %v", l.link)
	}
}

// What an owner believes of its co-owners ends when Redis may have lost data: it
// vouches for nothing until it has looked up again.
func TestDisturbedOwnerVouchesForNothing(t *testing.T) {
	for name, disturb := range map[string]func(*Router){
		"its lease is lost": (*Router).OnLeaseLost,
		"data is lost":      (*Router).OnDataLost,
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			bob := c.node(1).connect("bob")
			c.node(0).wantOutcome("bob", "looked up", Delivered)
			c.node(0).wantOutcome("bob", "cached", Delivered)
			refused := func() float64 { return testutil.ToFloat64(c.node(0).stale[staleCached]) }
			if refused() != 0 {
				t.Error("a sure owner refused a cached answer")
			}
			disturb(c.node(1).Router)
			c.node(0).wantOutcome("bob", "cached before", Delivered)
			if refused() == 0 {
				t.Error("an owner that is not sure vouched for a cached answer")
			}
			bob.wantGot("looked up", "cached", "cached before")
		})
	}
}

// Who was away from Redis for long has old knowledge of owners, and looks up.
func TestDisturbedSenderLooksUp(t *testing.T) {
	c := newCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	n := c.node(0)
	n.wantOutcome("bob", "looked up", Delivered)
	lookups := func() float64 { return testutil.ToFloat64(n.m.Router.Lookups) }
	before := lookups()
	n.wantOutcome("bob", "cached", Delivered)
	if lookups() != before {
		t.Error("a cached owner is looked up")
	}
	n.OnLeaseLost()
	n.wantOutcome("bob", "looked up again", Delivered)
	if lookups() == before {
		t.Error("a disturbed node trusts its cache")
	}
	bob.wantGot("looked up", "cached", "looked up again")
}

// What a lookup under way finds is as old as what it is to replace.
func TestLookupThatIsOvertakenIsNotCached(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.node(1).connect("bob")
	n := c.node(0)
	n.wantOutcome("bob", "looked up", Delivered)
	for what, overtake := range map[string]func(){
		"the node was away":      n.OnLeaseLost,
		"it has become an owner": func() { n.outdateOwners("bob") },
	} {
		rt, s := n.lockNewRoute("bob")
		rt.on(s, routeEvent{kind: lookupStarted})
		s.unlockAndNotify()
		overtake()
		s.lock()
		rt.on(s, routeEvent{kind: lookupFound, owners: []registry.Owner{{NodeID: "n1"}}, complete: true})
		if rt.mayUseCache(s) {
			t.Errorf("%s, and the owner is cached", what)
		}
		s.unlockAndNotify()
	}
}
