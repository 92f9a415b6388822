package baseline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/metrics"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(redistest.Main{M: m}) }

// patience bounds every wait of a test. It is reached only by a failure.
const patience = 2 * time.Minute

// heartbeat is so long that no connection is called silent on a machine that stands still.
const heartbeat = time.Minute

// testNode is a router with what a node would put around it.
type testNode struct {
	*Router
	t    testing.TB
	m    *metrics.Metrics
	gone atomic.Bool
}

func startNode(t testing.TB, name, prefix string, client redis.UniversalClient, d router.Delivery, change func(*Options)) *testNode {
	t.Helper()
	n := newNode(t, name, prefix, client, d, change)
	t.Cleanup(n.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	return n
}

// newNode makes a node that is not started.
func newNode(t testing.TB, name, prefix string, client redis.UniversalClient, d router.Delivery, change func(*Options)) *testNode {
	t.Helper()
	n := &testNode{t: t, m: metrics.New(prometheus.NewRegistry())}
	opts := Options{
		NodeID: name, Version: "test", Redis: client, Delivery: d, Metrics: n.m.Router, Logger: testLogger(t),
		MessageTimeout: patience,
	}
	if change != nil {
		change(&opts)
	}
	reg, err := registry.New(registry.Options{
		Redis: client, NodeID: name, Prefix: prefix, Heartbeat: heartbeat, Metrics: n.m.Registry, Logger: opts.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Registry = reg
	if n.Router, err = New(opts); err != nil {
		t.Fatal(err)
	}
	return n
}

func testLogger(t testing.TB) *slog.Logger {
	if os.Getenv("BEELINE_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (n *testNode) stop() {
	if n.gone.Swap(true) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = n.Stop(ctx)
}

// cluster is some nodes around one Redis.
type cluster struct {
	t       testing.TB
	redis   *redistest.Server // nil: a Redis Cluster
	client  redis.UniversalClient
	offline router.Outcome // of a message to nobody
	nodes   []*testNode
}

func (c *cluster) node(i int) *testNode { return c.nodes[i] }

func newCluster(t testing.TB, d router.Delivery, n int, change func(*Options)) *cluster {
	t.Helper()
	return clusterOn(t, redistest.Start(t), d, n, change)
}

func clusterOn(t testing.TB, s *redistest.Server, d router.Delivery, n int, change func(*Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, redis: s, client: s.Client(t), offline: router.Timeout}
	if d == router.Subscribe {
		c.offline = router.Offline
	}
	for i := range n {
		c.nodes = append(c.nodes, startNode(t, fmt.Sprintf("n%d", i), s.Prefix, s.Client(t), d, change))
	}
	return c
}

func newShardedCluster(t testing.TB, d router.Delivery, n int) *cluster {
	t.Helper()
	rc := redistest.StartCluster(t)
	c := &cluster{t: t, client: rc.Client(t), offline: router.Timeout}
	for i := range n {
		c.nodes = append(c.nodes, startNode(t, fmt.Sprintf("n%d", i), rc.Prefix, rc.Client(t), d, nil))
	}
	return c
}

var deliveries = []router.Delivery{router.Broadcast, router.Subscribe}

// eachDelivery runs a test under each delivery, on one Redis.
func eachDelivery(t *testing.T, test func(t *testing.T, d router.Delivery)) {
	for _, d := range deliveries {
		t.Run(string(d), func(t *testing.T) { test(t, d) })
	}
}

// onEachRedis runs a test under each delivery, on one Redis and on a Redis Cluster.
func onEachRedis(t *testing.T, test func(t *testing.T, c *cluster)) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		t.Run("redis", func(t *testing.T) { test(t, newCluster(t, d, 3, nil)) })
		t.Run("cluster", func(t *testing.T) { test(t, newShardedCluster(t, d, 3)) })
	})
}

// testSession is a session that keeps what it is given.
type testSession struct {
	client string
	node   *testNode
	full   atomic.Bool

	mu      sync.Mutex
	got     []string
	last    router.Message // without its data
	changed chan struct{}
}

func (s *testSession) Deliver(m *router.Message) router.Outcome {
	if s.full.Load() {
		return router.Overloaded
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, string(m.Data))
	s.last = *m
	s.last.Data = nil
	close(s.changed)
	s.changed = make(chan struct{})
	return router.Delivered
}

func (s *testSession) Evict(address string, reason error) {
	s.node.t.Errorf("%s was evicted: %v", address, reason)
}

// await returns once ok holds for what the session got.
func (s *testSession) await(what string, ok func() bool) {
	s.node.t.Helper()
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			s.node.t.Fatalf("%s never %s; it got %d messages", s.client, what, len(s.got))
		}
	}
}

func (s *testSession) wantGot(want ...string) {
	s.node.t.Helper()
	s.await(fmt.Sprintf("got %d messages", len(want)), func() bool { return len(s.got) >= len(want) })
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, got := range s.got {
		if i >= len(want) || got != want[i] {
			s.node.t.Fatalf("%s got %q as message %d of %d, want %q", s.client, got, i, len(s.got), want[min(i, len(want)-1)])
		}
	}
}

func (s *testSession) leave() { s.node.Leave(s.client, s) }

func newTestSession(n *testNode, client string) *testSession {
	return &testSession{client: client, node: n, changed: make(chan struct{})}
}

// connect joins a session of client, as a node does for a connection.
func (n *testNode) connect(client string) *testSession {
	n.t.Helper()
	s := newTestSession(n, client)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Join(ctx, client, s); err != nil {
		n.t.Fatalf("connecting %s to %s: %v", client, n.opts.NodeID, err)
	}
	return s
}

// send sends at once, as a node does that has nothing more to send, and returns where the outcome
// will be.
func (n *testNode) send(m router.Message) <-chan router.Outcome {
	out := make(chan router.Outcome, 2) // two, so that a second outcome would be seen
	m.From = "tester"
	n.Send(m, func(_ router.MessageID, o router.Outcome) { out <- o })
	n.Flush()
	return out
}

// sendTo asks for a receipt.
func (n *testNode) sendTo(to, data string) <-chan router.Outcome {
	return n.send(router.Message{To: to, Data: []byte(data), Receipt: true})
}

// want waits for the outcome of a message.
func (n *testNode) want(out <-chan router.Outcome, want router.Outcome) {
	n.t.Helper()
	select {
	case o := <-out:
		if o != want {
			n.t.Errorf("outcome %v, want %v", o, want)
		}
	case <-time.After(patience):
		n.t.Fatalf("no outcome; want %v", want)
	}
}

func (n *testNode) wantOutcome(to, data string, want router.Outcome) {
	n.t.Helper()
	n.want(n.sendTo(to, data), want)
}

// expireAll has the deadline of all that is pending come now.
func (n *testNode) expireAll() { n.expire(time.Now().Add(2 * n.opts.MessageTimeout)) }

// published waits until Redis has taken all that was sent.
func (n *testNode) published() {
	n.t.Helper()
	until(n.t, "all is published", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for s := n.mu.oldest; s != nil; s = s.newer {
			if s.phase != published {
				return false
			}
		}
		return true
	})
}

func (n *testNode) pendingCount() (count, bytes, waiting int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.count, n.mu.bytes, len(n.mu.waiting)
}

// until waits for a condition that no event announces, such as a metric.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (c *cluster) wasted() (sum float64) {
	for _, n := range c.nodes {
		sum += testutil.ToFloat64(n.m.Router.WastedDeliveries)
	}
	return sum
}

func (n *testNode) publishes() float64 { return testutil.ToFloat64(n.m.Router.Publishes) }
