package router

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router/link"
)

// Each event in each state of a peer.
func TestPeerStates(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	for _, test := range []struct {
		from   peerState
		event  peerEvent
		to     peerState
		probed bool
	}{
		{peerAlive, linkSuspended, peerSuspect, true},
		{peerAlive, foundAlive, peerAlive, false},
		{peerAlive, foundDead, peerAlive, false},
		{peerAlive, leaseFound, peerAlive, false},
		{peerSuspect, linkSuspended, peerSuspect, false},
		{peerSuspect, foundAlive, peerAlive, false},
		{peerSuspect, foundDead, peerDead, false},
		{peerSuspect, leaseFound, peerSuspect, false},
		{peerDead, linkSuspended, peerSuspect, true},
		{peerDead, foundAlive, peerDead, false},
		{peerDead, foundDead, peerDead, false},
		{peerDead, leaseFound, peerAlive, false},
	} {
		p := n.newPeer("n9", n.now())
		if p.state = test.from; test.from == peerSuspect {
			p.link.Suspend()
		}
		before := n.tasks.running()
		p.mu.Lock()
		p.onLocked(n.Router, test.event)
		if probed := n.tasks.running() > before; p.state != test.to || probed != test.probed {
			t.Errorf("event %d in state %d leads to %d, probed: %v; want %d, %v", test.event, test.from, p.state, probed, test.to, test.probed)
		}
		if p.state == peerAlive && p.link.State() == link.StateSuspended {
			t.Errorf("event %d in state %d leaves the link suspended", test.event, test.from)
		}
		p.mu.Unlock()
	}
}

// running returns how many tasks run.
func (t *tasks) running() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Routes ask about peers that are in trouble, and only then.
func TestTroubledPeersAreCounted(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	want := func(troubled int64, stalls, dead bool) {
		t.Helper()
		if got := n.peers.troubled.Load(); got != troubled || n.peers.stalls("n1") != stalls || n.peers.isDead("n1") != dead {
			t.Errorf("%d peers are troubled, n1 stalls: %v, is dead: %v; want %d, %v, %v",
				got, n.peers.stalls("n1"), n.peers.isDead("n1"), troubled, stalls, dead)
		}
	}
	want(0, false, false)
	p := n.suspend("n1")
	want(1, true, false)
	n.suspend("n2")
	want(2, true, false)
	n.resume(p)
	want(1, false, false)
	n.markDead("n1")
	want(2, false, true)
	n.peers.mu.Lock()
	for _, p := range slices.Clone(n.peers.mu.list) {
		p.mu.Lock()
		n.peers.forgetLocked(p)
		p.mu.Unlock()
	}
	n.peers.mu.Unlock()
	want(0, false, false)
}

// Peers are looked through in the order in which they came, whatever a map would do.
func TestPeersKeepTheirOrder(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	var want, got []string
	for i := range 100 {
		node := "n" + strconv.Itoa(i*37%100)
		want = append(want, node)
		n.peers.lockOrAdd(node).mu.Unlock()
	}
	for _, p := range n.peers.all() {
		got = append(got, p.node)
	}
	if !slices.Equal(got, want) {
		t.Errorf("peers %v, want %v", got, want)
	}
}

// A peer that is forgotten between being found and being locked is found anew: a frame for
// it must not go onto a link that nobody looks at.
func TestForgottenPeerIsNotUsed(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	p := n.peers.lockOrAdd("n1")
	p.forgotten = true // and is in the table a little longer for who has found it just before
	p.mu.Unlock()
	found := make(chan *peer, 1)
	go func() { found <- n.peers.lockOrAdd("n1") }()
	for i := 0; i < 10_000 && len(found) == 0; i++ {
		runtime.Gosched() // until it has found p
	}
	n.peers.mu.Lock()
	n.peers.byNode.Store(&map[string]*peer{})
	n.peers.mu.list = nil
	n.peers.mu.Unlock()
	again := <-found
	defer again.mu.Unlock()
	if again == p || again.forgotten {
		t.Error("the forgotten peer is used")
	}
}

// A stranger's batch makes no other peer be forgotten.
func TestStrangerTakesNobodysPlace(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	for i := range maxPeers {
		n.peers.lockOrAdd("peer" + strconv.Itoa(i)).mu.Unlock()
	}
	in := newInbox(n.Router)
	in.handle(in.private, string(link.AppendHeader(nil, &link.Header{From: "stranger", Life: 1, First: 1, Base: 1})))
	if n.peers.get("stranger") != nil || n.peers.get("peer0") == nil || testutil.ToFloat64(n.drops[dropTooManyLinks]) != 1 {
		t.Error("a stranger has taken a peer's place")
	}
	n.peers.lockOrAdd("owner").mu.Unlock()
	if n.peers.get("owner") == nil || n.peers.get("peer0") != nil || n.peers.len() != maxPeers {
		t.Errorf("an owner has taken nobody's place among %d peers", n.peers.len())
	}
}

// A message that has met its deadline while it waited is published as a number only: its
// data is gone.
func TestOverdueMessageIsPublishedAsItsNumber(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	c.node(1).connect("bob")
	n.wantOutcome("bob", "1", Delivered)
	p := n.suspend("n1")
	out := n.sendTo("bob", "2")
	until(t, "it waits on the link", func() bool { return n.unacknowledged("n1") > 0 })
	n.expire()
	n.want(out, Timeout)
	n.onLink("n1", func(l *link.Link) {
		l.Payloads(func(x link.Payload) bool {
			if b, kind := x.Append(nil, &link.Frame{}); kind != link.KindVoid || !overdue(x) {
				t.Errorf("an overdue message is published as %x", b)
			}
			return true
		})
	})
	if !n.giveUpOn(p) {
		t.Error("a suspect is waited for that nobody waits for")
	}
	n.resume(p)
	n.wantOutcome("bob", "3", Delivered)
}

// BenchmarkPeers measures Push, Batch and its acknowledgement of one frame, by as many
// goroutines as there are processors, each with a peer of its own: they don't share a lock.
func BenchmarkPeers(b *testing.B) {
	r, _ := benchRoute(b)
	next := make(chan int, 1)
	next <- 0
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := <-next
		next <- i + 1
		p := r.peers.lockOrAdd(fmt.Sprint("peer", i))
		p.queued = true // so that nobody else publishes
		p.mu.Unlock()
		var buf []byte
		var settled []link.Settled
		for pb.Next() {
			r.push(p.node, link.Frame{Payload: bare(link.KindVoid)})
			buf, _, _, _ = p.batch(r, buf[:0])
			p.mu.Lock()
			_, _, _, sent, _ := p.link.Numbers()
			p.mu.Unlock()
			settled, _ = p.acknowledge(r, link.Ack{Life: p.link.Life(), UpTo: sent - 1}, settled[:0])
		}
	})
}
