package registry

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestBeatTellsAboutTheNode(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		want := NodeInfo{ID: "a", URL: "http://a:8080", Version: "1.2.3", Started: time.UnixMilli(1_700_000_000_123), Sessions: 42, Draining: true,
			Settings: Settings{Delivery: "targeted", Duplicates: Reject, Heartbeat: 2 * time.Second, Envelopes: Versions{2, 3}, Keys: "ab,cd"}}
		must(t, a.Beat(t.Context(), want))
		got, ok, err := b.Node(t.Context(), "a")
		must(t, err)
		if since := a.rdb.Time(t.Context()).Val().Sub(got.Since); since < 0 || since > time.Hour {
			t.Errorf("it is in the cluster since %v", got.Since)
		}
		want.Since = got.Since
		if !ok || got != want {
			t.Errorf("node a: %v %+v, want %+v", ok, got, want)
		}
		ttl := b.rdb.PTTL(t.Context(), b.keys.Node("a")).Val()
		if ttl <= 0 || ttl > a.timing.NodeTTL() {
			t.Errorf("TTL of the node lease is %v", ttl)
		}
		if _, ok, err := b.Node(t.Context(), "nobody"); ok || err != nil {
			t.Errorf("node nobody: %v, %v", ok, err)
		}
	})
}

// What a node vouches for is written with what is left of its lease. Where that is held
// up, it may come behind the next beat, and the node relies on what that has written.
func TestNodeLeaseIsNeverShortened(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		a.beat()
		before := a.rdb.PTTL(t.Context(), a.keys.Node("a")).Val()
		late := NodeInfo{ID: "a", URL: "http://of-before"}
		must(t, a.redis.Run(t.Context(), []*redisconn.Call{a.nodeCall("epochs", late, "n=1", time.Second)}))
		if info, _, err := a.Node(t.Context(), "a"); err != nil || info.URL == late.URL {
			t.Errorf("%+v, %v: what a beat has written is overwritten", info, err)
		}
		if got := a.rdb.HGet(t.Context(), a.keys.Node("a"), "epoch").Val(); got != "n=1" {
			t.Errorf("it vouches for %q", got)
		}
		if after := a.rdb.PTTL(t.Context(), a.keys.Node("a")).Val(); after < before/2 {
			t.Errorf("the lease lives for %v, and did for %v", after, before)
		}
	})
}

func TestNodesListsTheLivingAndStrikesOffTheGone(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := quietNode(t, s, "a", Options{})
		if nodes, err := a.Nodes(t.Context()); len(nodes) > 0 || err != nil {
			t.Errorf("before any beat: %v, %v", nodes, err)
		}
		c, b := startNode(t, s, "c", Options{}), startNode(t, s, "b", Options{})
		a.beat()
		list := a.keys.Nodes()
		long, justNow := time.Now().Add(-2*a.timing.NodeTTL()).UnixMilli(), time.Now().UnixMilli()
		must(t, a.rdb.ZAdd(t.Context(), list, redis.Z{Score: float64(long), Member: "gone"},
			redis.Z{Score: float64(justNow), Member: "late"}).Err())

		a.wantNodes("a", "b", "c")
		if err := a.rdb.ZScore(t.Context(), list, "gone").Err(); err != redis.Nil {
			t.Errorf("gone is still listed: %v", err)
		}
		must(t, a.rdb.ZScore(t.Context(), list, "late").Err())
		must(t, b.RemoveNode(t.Context(), c.opts.NodeID))
		a.wantNodes("a", "b")
	})
}

func (n *testNode) wantNodes(want ...string) {
	n.t.Helper()
	nodes, err := n.Nodes(n.t.Context())
	must(n.t, err)
	var got []string
	for _, node := range nodes {
		got = append(got, node.ID)
	}
	if len(got) != len(want) {
		n.t.Fatalf("nodes: %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			n.t.Fatalf("nodes: %v, want %v", got, want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client(t)
	for name, opts := range map[string]Options{
		"no Redis":        {NodeID: "a"},
		"no node ID":      {Redis: client},
		"small heartbeat": {Redis: client, NodeID: "a", Heartbeat: 1},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	r, err := New(Options{Redis: client, NodeID: "a"})
	must(t, err)
	if r.Keys().Nodes() != "beeline:nodes" || r.Timing().Heartbeat != 2*time.Second {
		t.Errorf("defaults: %s, %v", r.Keys().Nodes(), r.Timing())
	}
	r.Start(nil)
	r.events.OnDataLost()
	r.events.OnLeaseLost()
	r.events.OnEvicted(nil)
	r.events.OnRestored(nil, nil)
	must(t, r.Stop(t.Context()))
	must(t, r.Stop(t.Context()))
}

// The list's scores are Redis' own times, of the host before in the first moment after a
// failover. A clock that is off hides no node for longer than a heartbeat, and keeps no
// dead one.
func TestClocksOfHostsDoNotDecideWhoLives(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, slow, fast := startNode(t, s, "a", Options{}), startNode(t, s, "slow", Options{}), startNode(t, s, "fast", Options{})
		off := func(id string, by time.Duration) {
			at := a.rdb.Time(t.Context()).Val().Add(by)
			must(t, a.rdb.ZAdd(t.Context(), a.keys.Nodes(), redis.Z{Score: float64(at.UnixMilli()), Member: id}).Err())
		}
		off("slow", -longGone/2)
		off("fast", 2*farAhead)
		off("slow-and-dead", -longGone/2)
		fast.beat()
		a.wantNodes("a", "fast", "slow")
		a.eventuallySettled("alice")
		slow.claim("alice")
		fast.claim("bob")
		for id, want := range map[string]bool{"slow": false, "fast": false, "slow-and-dead": true} {
			dead, err := a.ConfirmDead(t.Context(), id)
			must(t, err)
			if dead != want {
				t.Errorf("%s is dead: %v, want %v", id, dead, want)
			}
		}
	})
}

// Others may take a node for dead that lives, and prune what it owns.
func TestBeatThatFindsItsLeaseGoneVerifies(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		l := a.claim("alice")
		must(t, b.RemoveNode(t.Context(), "a"))
		must(t, b.Prune(t.Context(), "alice", a.owner(l)))
		a.beat()
		receive(t, a.lost, "the node knows that others may have claimed")
		if got := receive(t, a.restored, "the entry is written again"); got != l {
			t.Errorf("claimed again: %s", got.Address())
		}
		b.wantOwners("alice", a.owner(l))
	})
}

// What keeps all nodes from beating, such as a right that their user has lost, makes no
// node call another one dead: neither while it lasts, nor before all have beaten again.
func TestNodeThatCouldNotBeatTakesNobodyForDead(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{Heartbeat: calm})
		a.eventuallySettled("x")
		must(t, a.Beat(t.Context(), NodeInfo{}))
		wantDead := func(want bool, when string) {
			t.Helper()
			dead, err := a.ConfirmDead(t.Context(), "b")
			must(t, err)
			if dead != want {
				t.Errorf("%s: dead is %v, want %v", when, dead, want)
			}
		}
		back := func(at *time.Time, by time.Duration) {
			a.beats.Lock()
			*at = time.Now().Add(-by)
			a.beats.Unlock()
		}
		wantDead(true, "a node without a lease")
		back(&a.beats.lastBeat, a.timing.silence()) // another one's lease may have ended by now
		wantDead(false, "this node has missed its beats")
		must(t, a.Beat(t.Context(), NodeInfo{}))
		wantDead(false, "this node beats again")
		back(&a.beats.resumed, a.timing.NodeTTL())
		wantDead(true, "all had the time to beat again")
	})
}

// After a loss a node that lives may have no lease, and none of the others need know of
// it: nobody is dead for a missing lease until it would have ended anyway.
func TestLossMakesNoNodeDeadForTheLifeOfALease(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{Heartbeat: calm})
		a.eventuallySettled("alice")
		a.claim("alice")
		s.flush(t)
		a.keepBeating()
		receive(t, a.lost, "the flush is noticed")
		a.eventuallySettled("alice")
		a.eventuallyAllSettled()
		began := func(ago time.Duration) {
			a.mu.Lock()
			defer a.mu.Unlock()
			for _, e := range a.epochs.of {
				e.detectedAt = time.Now().Add(-ago)
			}
		}
		began(0)
		dead, err := a.ConfirmDead(t.Context(), "b")
		must(t, err)
		if dead {
			t.Error("b is dead, though its lease may be lost")
		}
		eventually(t, func() bool {
			began(a.timing.NodeTTL())
			dead, err := a.ConfirmDead(t.Context(), "b")
			must(t, err)
			return dead
		}, func() string { return "b does not count as dead" })
	})
}

// Nor is anybody dead while an epoch is not settled, however long ago it began.
func TestNobodyIsDeadWhileAnEpochIsNotSettled(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startUnsettled(t, s)
		a.wantSettled("alice", false) // a notices the flush
		a.mu.Lock()
		for _, e := range a.epochs.of {
			e.detectedAt = e.detectedAt.Add(-a.timing.NodeTTL())
		}
		a.mu.Unlock()
		dead, err := a.ConfirmDead(t.Context(), "b")
		must(t, err)
		if dead {
			t.Error("b is dead, though what is missing may be lost")
		}
	})
}
