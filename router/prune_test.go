package router

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/link"
)

// newRelaxedCluster starts n nodes whose leases are not refreshed while a test runs, and
// do not end.
func newRelaxedCluster(t *testing.T, n int) *cluster {
	s := redistest.Start(t)
	return clusterOn(t, relaxedHeartbeat, s, s.Prefix, func() redis.UniversalClient { return s.Client(t) }, n, nil)
}

// entryOf returns the only entry of an address, as one of a dead node.
func (c *cluster) entryOf(address string) staleEntry {
	c.t.Helper()
	owners := c.owners(address)
	if len(owners) != 1 {
		c.t.Fatalf("%s is owned by %v, want one", address, owners)
	}
	return staleEntry{address, owners[0], true}
}

func TestEntriesOfALivingNodeStay(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	bob := c.node(1).connect("bob")
	c.node(0).pruneAll(t.Context(), []staleEntry{c.entryOf("bob")})
	c.node(0).wantOutcome("bob", "1", Delivered)
	bob.wantGot("1")
}

func TestEntriesOfADeadNodeGo(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	c.node(1).connect("bob")
	entry := c.entryOf("bob")
	if err := c.node(0).reg.RemoveNode(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	c.node(0).pruneAll(t.Context(), []staleEntry{entry})
	if owners := c.owners("bob"); len(owners) != 0 {
		t.Errorf("bob is owned by %v", owners)
	}
}

// refreshes counts the batches of leases that a node has refreshed.
func (n *testNode) refreshes() uint64 {
	n.t.Helper()
	var m dto.Metric
	if err := n.m.Registry.OperationSeconds.WithLabelValues("refresh").(prometheus.Histogram).Write(&m); err != nil {
		n.t.Error(err)
	}
	return m.GetHistogram().GetSampleCount()
}

// A node may verify its leases after it was found dead and before its entries are
// pruned. Then it is told, and writes them again.
func TestEntriesPrunedAsTheirNodeCameBackAreWrittenAgain(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n, back := c.node(0), c.node(1)
	bob := back.connect("bob")
	entry := c.entryOf("bob")
	if err := n.reg.RemoveNode(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	comesBack := sync.OnceFunc(func() { // as a node does that was frozen
		before := back.refreshes()
		if err := back.refreshLease(context.Background()); err != nil {
			t.Error(err)
		}
		until(t, "it has verified its leases", func() bool { return back.refreshes() > before })
	})
	n.client.(*redis.Client).AddHook(&onScript{key: n.keys.Address("bob"), run: comesBack})
	n.pruneAll(t.Context(), []staleEntry{entry})
	if testutil.ToFloat64(n.m.Registry.PrunedOwners) != 1 {
		t.Fatal("the entry was not pruned")
	}
	until(t, "the node is told", func() bool { return testutil.ToFloat64(back.received[link.KindPruned]) > 0 })
	until(t, "the entry is there again", func() bool { return len(c.owners("bob")) == 1 })
	n.wantOutcome("bob", "1", Delivered)
	bob.wantGot("1")
}

// A node that is told so writes its entries again, and is not sure any more that it owns their
// addresses alone: claims did not wait for it.
func TestPrunedNodeWritesItsEntriesAgain(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n, back := c.node(0), c.node(1)
	back.connect("bob")
	if _, _, alone := back.local.alone("bob"); !alone {
		t.Fatal("it does not deliver to its own client by itself")
	}
	if err := n.client.HDel(t.Context(), n.keys.Address("bob"), "n1").Err(); err != nil {
		t.Fatal(err)
	}
	n.announcePruned("n1")
	n.flush()
	until(t, "the entry is there again", func() bool { return len(c.owners("bob")) == 1 })
	if _, _, alone := back.local.alone("bob"); alone {
		t.Error("it delivers by itself")
	}
}

// A node whose lease had ended may write it again after it was found dead. It relies on
// that one and welcomes clients, so it must stay.
func TestLeaseOfANodeThatCameBackStays(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n, back := c.node(0), c.node(1)
	bob := back.connect("bob")
	if err := n.reg.RemoveNode(t.Context(), "n1"); err != nil { // as if it had ended
		t.Fatal(err)
	}
	found := notDead
	until(t, "it is found dead", func() bool { found = n.confirmDeath(t.Context(), "n1"); return found != notDead })
	if err := back.refreshLease(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := n.suspend("n1")
	n.declareDead(t.Context(), p, found)
	if _, ok, err := n.reg.Node(t.Context(), "n1"); !ok || err != nil {
		t.Errorf("the node has a lease: %v, %v", ok, err)
	}
	n.wantOutcome("bob", "1", Delivered)
	bob.wantGot("1")
}

// onScript calls run when a node runs a script whose first key is key, as it does to read the
// lease of a node, or to prune an entry.
type onScript struct {
	key string
	run func()
}

func (*onScript) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*onScript) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (h *onScript) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if args := cmd.Args(); len(args) > 3 && fmt.Sprint(args[0]) == "evalsha" && keyOf(args) == h.key {
				h.run()
			}
		}
		return next(ctx, cmds)
	}
}

// keyOf returns the first key of a script's call.
func keyOf(args []any) string {
	if p, ok := args[3].(*string); ok {
		return *p
	}
	return fmt.Sprint(args[3])
}

// Who is taken for dead while the answer to a lookup is looked at was not when it was
// asked for, and may be back.
func TestOwnerThatDiesMeanwhileIsNoAbsentOne(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	if err := n.client.HSet(t.Context(), n.keys.Address("bob"), "n9", "1").Err(); err != nil {
		t.Fatal(err)
	}
	n.markDead("n9")
	n.client.(*redis.Client).AddHook(&onScript{key: n.keys.Node("n9"), run: func() { n.markDead("n1") }})
	n.wantOutcome("bob", "1", Delivered)
	bob.wantGot("1")
}
