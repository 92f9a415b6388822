package router

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/link"
)

// While one owner is suspect, what is for it waits in its link's
// window, and what finds no room there, or is more than its receiver's share, is refused;
// those of other owners get theirs meanwhile, and it gets all that was not refused once it has been heard of.
func TestStalledLinkHarmsNoOther(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.MessageTimeout = 3 * patience })
	n := c.node(0)
	bob, eve := c.node(1).connect("bob"), c.node(2).connect("eve")
	n.wantOutcome("bob", "first", Delivered)

	stalled := n.suspend("n1")
	const room = 160
	for range link.MaxWindow - announcementRoom - 2*room { // what takes the room, but not the time, of messages; of the rest bob may have half
		n.push("n1", link.Frame{Payload: bare(link.KindVoid), Urgent: true})
	}
	want := []string{"first"}
	outcomes := make([]<-chan Outcome, 0, room)
	for i := range room {
		want = append(want, strconv.Itoa(i))
		outcomes = append(outcomes, n.sendTo("bob", want[i+1]))
		if i%10 == 0 {
			n.wantOutcome("eve", strconv.Itoa(i), Delivered)
		}
	}
	n.wantOutcome("bob", "one too many", Overloaded)
	n.wantOutcome("eve", "last", Delivered)
	if i := slices.IndexFunc(outcomes, func(o <-chan Outcome) bool { return len(o) > 0 }); i >= 0 {
		t.Errorf("message %d has the outcome %v while its owner is suspect", i, <-outcomes[i])
	}
	n.resume(stalled)
	n.flush()
	for _, o := range outcomes {
		n.want(o, Delivered)
	}
	bob.wantGot(want...)
	eve.await("got 17 messages", func() bool { return len(eve.got) == 17 })
}

// That a killed node's client is offline is known at once, also while a message is in flight
// to a node where the client was before, and which stands still.
func TestDeathIsKnownThoughAFormerOwnerStandsStill(t *testing.T) {
	s := redistest.Start(t)
	c := clusterOn(t, relaxedHeartbeat, s, s.Prefix, func() redis.UniversalClient { return s.Client(t) }, 3,
		func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	bob, held := c.node(1).connect("bob"), newGate()
	open := sync.OnceFunc(func() { close(held.open) })
	t.Cleanup(open) // before its node is stopped
	c.node(1).join("held", held)
	n.wantOutcome("bob", "first", Delivered)
	blocking := n.sendTo("held", "x")
	<-held.entered // the inbox of node 1 goes no further
	inFlight := n.sendTo("bob", "in flight")
	bob.leave()
	until(t, "bob has left", func() bool { return len(c.owners("bob")) == 0 })
	c.node(2).connect("bob")
	c.node(2).die()
	until(t, "it is noticed that node 1 does not answer", func() bool {
		return n.peers.stalls("n1")
	})
	n.wantOutcome("bob", "after the death", Offline)
	wantNone(t, inFlight)
	open()
	n.want(blocking, Delivered)
	n.want(inFlight, Offline)
	wantNothingPending(t, c)
}

// While one owner keeps a message waiting that another must get again, later messages
// must not reach that other first, even if it does not know that it missed one: the
// node was declared dead, and came back.
func TestNothingOvertakesWhatADeadPeerWasSent(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.MessageTimeout = 3 * patience })
	n := c.node(0)
	slow, back := c.node(1).connect("bob"), c.node(2).connect("bob")
	n.wantOutcome("bob", "1", Delivered)
	slow.wantGot("1")
	back.wantGot("1")

	release := c.node(1).holdInbox() // it does not acknowledge
	defer release()
	p := n.suspend("n2")
	first := n.sendTo("bob", "2")
	n.shards.lockAll()
	p.mu.Lock()
	settled := p.link.DeclareDead(n.now(), true, nil)
	p.state = peerAlive
	p.changedLocked(n.Router)
	p.mu.Unlock()
	for _, s := range settled {
		s.Payload.(*pending).acked(s.Payload.(*pending).shard, registry.Owner{NodeID: "n2", Token: s.Token}, s.Result)
	}
	n.shards.unlockAll()
	n.flush()
	second := n.sendTo("bob", "3")
	until(t, "the second message has been looked up", func() bool {
		rt, unlock := n.lockRoute("bob")
		defer unlock()
		return len(rt.waiting) > 0 && rt.state != routeQueued && rt.state != routeLookingUp || rt.inflight > 1
	})
	release()
	n.want(first, Delivered)
	n.want(second, Delivered)
	slow.wantGot("1", "2", "3")
	back.wantGot("1", "2", "3")
}
