package baseline

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

func TestMessageGoesToTheNodeThatHoldsItsReceiver(t *testing.T) {
	onEachRedis(t, func(_ *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		c.node(0).wantOutcome("bob", "hello", router.Delivered)
		bob.wantGot("hello")
	})
}

func TestMessageToOneself(t *testing.T) {
	onEachRedis(t, func(_ *testing.T, c *cluster) {
		bob := c.node(0).connect("bob")
		c.node(0).wantOutcome("bob", "note", router.Delivered)
		bob.wantGot("note")
	})
}

// PUBLISH counts those who hear a channel on one Redis; elsewhere only the deadline tells.
func TestMessageToNobody(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		n := c.node(0)
		out := n.sendTo("nobody", "hello?")
		if c.offline == router.Timeout {
			n.published()
			select {
			case o := <-out:
				t.Errorf("outcome %v before the deadline", o)
			default:
			}
			n.expireAll()
		}
		n.want(out, c.offline)
	})
}

func TestEverySessionOfAClientReceives(t *testing.T) {
	onEachRedis(t, func(_ *testing.T, c *cluster) {
		phone, desk, tablet := c.node(1).connect("bob"), c.node(2).connect("bob"), c.node(2).connect("bob")
		c.node(0).wantOutcome("bob", "all of you", router.Delivered)
		for _, s := range []*testSession{phone, desk, tablet} {
			s.wantGot("all of you")
		}
	})
}

// They are told Published as soon as Redis has them: nobody asked for more.
func TestMessagesKeepTheirOrder(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		var want []string
		var outs []<-chan router.Outcome
		for i := range 2000 {
			want = append(want, strconv.Itoa(i))
			outs = append(outs, c.node(0).send(router.Message{To: "bob", Data: []byte(want[i])}))
		}
		bob.wantGot(want...)
		for _, out := range outs {
			c.node(0).want(out, router.Published)
		}
		if count, bytes, waiting := c.node(0).pendingCount(); count+bytes+waiting != 0 {
			t.Errorf("%d messages of %d bytes are pending, %d wait for receipts", count, bytes, waiting)
		}
	})
}

// A broadcast wastes all deliveries but one, a subscription none. Both publish once, and the
// receipt takes a PUBLISH of the receiver's node.
func TestCostOfAMessage(t *testing.T) {
	const nodes, messages = 8, 50
	wasted := map[router.Delivery]float64{router.Broadcast: (nodes - 1) * messages, router.Subscribe: 0}
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		c := newCluster(t, d, nodes, nil)
		bob := c.node(1).connect("bob")
		for i := range messages {
			c.node(0).wantOutcome("bob", "x", router.Delivered)
			bob.await("got it", func() bool { return len(bob.got) == i+1 })
		}
		until(t, "every node has seen what reached it", func() bool { return c.wasted() >= wasted[d] })
		if w := c.wasted(); w != wasted[d] {
			t.Errorf("%v wasted deliveries, want %v", w, wasted[d])
		}
		t.Logf("%d nodes, %d messages: %v published, %v wasted deliveries", nodes, messages, c.node(0).publishes(), c.wasted())
		for i, want := range []float64{messages, messages, 0} {
			if n := c.node(i).publishes(); n != want {
				t.Errorf("node %d has published %v times for %d messages, want %v", i, n, messages, want)
			}
		}
	})
}

// What gathers while a PUBLISH is under way leaves in batches of a bounded size.
func TestBroadcastsTravelInBatches(t *testing.T) {
	n := newNode(t, "n0", "beeline", redistest.Start(t).Client(t), router.Broadcast, nil)
	p := &n.publisher
	for range 100 {
		n.Send(router.Message{From: "ann", To: "bob", Data: make([]byte, 60<<10)}, nil)
	}
	sizes := 0
	for pipelines := 0; ; pipelines++ {
		n.mu.Lock()
		p.messages = n.takeQueuedLocked(p.messages[:0])
		n.mu.Unlock()
		n.encode(p, nil)
		if len(p.posts) == 0 {
			if sizes != 100 || pipelines != 2 {
				t.Errorf("%d messages in %d pipelines, want 100 in 2", sizes, pipelines)
			}
			return
		}
		for _, x := range p.posts {
			sizes += x.frames
			if len(x.payload) > maxBatch+61<<10 {
				t.Errorf("a batch of %d bytes", len(x.payload))
			}
		}
	}
}

// Two clusters in one Redis, with one prefix, in databases of their own: Redis has one set of
// channels for all databases, so the names of channels tell them apart.
func TestClustersInTwoDatabasesHearNothingOfEachOther(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		s := redistest.Start(t)
		sessions := make([]*testSession, 2)
		nodes := make([]*testNode, 2)
		for db := range sessions {
			client := redis.NewClient(&redis.Options{Addr: s.Addr, DB: db, DisableIdentity: true, ContextTimeoutEnabled: true})
			t.Cleanup(func() { _ = client.Close() })
			nodes[db] = startNode(t, fmt.Sprint("n", db), s.Prefix, client, d, nil)
			sessions[db] = nodes[db].connect("bob")
		}
		for db, n := range nodes {
			n.wantOutcome("bob", fmt.Sprint(db), router.Delivered)
			n.wantOutcome("bob", "once more", router.Delivered)
		}
		for db, s := range sessions {
			s.wantGot(fmt.Sprint(db), "once more")
		}
	})
}

// A receiver's session that has no room is as good as an answer.
func TestFullReceiverIsOverloaded(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		bob.full.Store(true)
		c.node(0).wantOutcome("bob", "too much", router.Overloaded)
		if n := testutil.ToFloat64(c.node(0).m.Router.Overloaded.WithLabelValues(overloadQueue)); n != 1 {
			t.Errorf("counted %v times", n)
		}
		desk := c.node(1).connect("bob")
		c.node(0).wantOutcome("bob", "room at the desk", router.Delivered)
		desk.wantGot("room at the desk")
	})
}

func TestBadNamesAreRejected(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, nil).node(0)
	n.wantOutcome("#group", "x", router.Rejected)
	n.wantOutcome("", "x", router.Rejected)
}

// What the delivery can't promise is refused before anything starts.
func TestBadOptions(t *testing.T) {
	s := redistest.Start(t)
	good := newNode(t, "n0", s.Prefix, s.Client(t), router.Broadcast, nil).opts
	for name, bad := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"targeted": {func(o *Options) { o.Delivery = router.Targeted }, `"targeted"; allowed are broadcast and subscribe`},
		"a pigeon": {func(o *Options) { o.Delivery = "pigeon" }, `"pigeon"; allowed are broadcast and subscribe`},
		"replace":  {func(o *Options) { o.Duplicates = registry.Replace }, `"replace" under delivery broadcast`},
		"reject":   {func(o *Options) { o.Duplicates = registry.Reject }, "allowed is allow"},
		"no Redis": {func(o *Options) { o.Redis = nil }, "required"},
		"nothing":  {func(o *Options) { *o = Options{} }, "required"},
	} {
		opts := good
		bad.change(&opts)
		if _, err := New(opts); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("%s: %v; want %s", name, err, bad.says)
		}
	}
}

// The node lease says who is there and with which settings: nodes that differ find each other.
func TestNodesSayTheirSettings(t *testing.T) {
	c := newCluster(t, router.Broadcast, 2, nil)
	c.node(0).connect("bob")
	if err := c.node(0).SetDraining(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodes, err := c.node(1).reg.Nodes(context.Background())
	if err != nil || len(nodes) != 2 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	for _, n := range nodes {
		if n.ID == "n0" && (!n.Draining || n.Sessions != 1 || n.Settings.Delivery != "broadcast") {
			t.Errorf("n0 says %+v", n)
		}
	}
	other := startNode(t, "other", c.redis.Prefix, c.redis.Client(t), router.Subscribe, nil)
	found := other.Hindrances()
	if len(found) != 1 || found[0].Cause != router.CauseSettings || !strings.Contains(found[0].Err.Error(), "BEELINE_DELIVERY") {
		t.Errorf("a node with another delivery has the hindrances %v", found)
	}
}
