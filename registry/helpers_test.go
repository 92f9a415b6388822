package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// never is a heartbeat that no test lives to see: what happens, the test does.
const never = time.Hour

// store is the Redis that the nodes of a test share.
type store struct {
	prefix string
	client func(testing.TB) redis.UniversalClient
}

func single(s *redistest.Server) store {
	return store{s.Prefix, func(t testing.TB) redis.UniversalClient { return s.Client(t) }}
}

func sharded(c *redistest.Cluster) store {
	return store{c.Prefix, func(t testing.TB) redis.UniversalClient { return c.Client(t) }}
}

// onEach runs a test on one server and on a Cluster.
func onEach(t *testing.T, test func(*testing.T, store)) {
	t.Parallel()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		test(t, single(redistest.Start(t)))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		test(t, sharded(redistest.StartCluster(t)))
	})
}

// onEachOwn is onEach for tests that flush or count.
func onEachOwn(t *testing.T, test func(*testing.T, store)) {
	t.Parallel()
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		s := redistest.StartOwn(t)
		s.AwaitUptime()
		test(t, single(s))
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		test(t, sharded(redistest.StartOwnCluster(t)))
	})
}

// testNode is a registry with what its router would do: hear a private channel,
// and, if asked to, beat.
type testNode struct {
	*Registry
	t         testing.TB
	channel   *redis.PubSub
	taken     chan *Lease
	reclaimed chan *Lease
	disturbed chan struct{}
}

func (n *testNode) Taken(l *Lease)                { n.taken <- l }
func (n *testNode) Reclaimed(l *Lease, _ []Owner) { n.reclaimed <- l }
func (n *testNode) Disturbed()                    { n.disturbed <- struct{}{} }

// quietNode makes a node that hears its channel and has not said so yet.
func quietNode(t testing.TB, s store, id string, opts Options) *testNode {
	t.Helper()
	opts.Redis, opts.NodeID, opts.Prefix = s.client(t), id, s.prefix
	if opts.Heartbeat == 0 {
		opts.Heartbeat = never
	}
	r, err := New(opts)
	must(t, err)
	n := &testNode{Registry: r, t: t,
		taken: make(chan *Lease, 20000), reclaimed: make(chan *Lease, 20000), disturbed: make(chan struct{}, 100)}
	n.listen()
	r.Start(n)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.Stop(ctx) // Redis may be gone
	})
	return n
}

func (n *testNode) listen() {
	n.t.Helper()
	subscribe := n.opts.Redis.Subscribe
	if n.masters.cluster != nil {
		subscribe = n.opts.Redis.SSubscribe
	}
	n.channel = subscribe(n.t.Context(), n.keys.Channel(n.opts.NodeID))
	n.t.Cleanup(func() { _ = n.channel.Close() })
	_, err := n.channel.Receive(n.t.Context())
	must(n.t, err)
}

// startNode makes a node that beat once.
func startNode(t testing.TB, s store, id string, opts Options) *testNode {
	t.Helper()
	n := quietNode(t, s, id, opts)
	n.beat()
	return n
}

func (n *testNode) beat() {
	n.t.Helper()
	must(n.t, n.Beat(n.t.Context(), NodeInfo{URL: "http://" + n.opts.NodeID, Version: "test", Started: time.UnixMilli(1)}))
}

// keepBeating beats until the test ends, whatever happens to Redis.
func (n *testNode) keepBeating() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(n.timing.Heartbeat)
		defer ticker.Stop()
		for ctx.Err() == nil {
			beat, cancel := context.WithTimeout(ctx, time.Second)
			_ = n.Beat(beat, NodeInfo{})
			cancel()
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}()
	n.t.Cleanup(func() { cancel(); <-done })
}

// crash ends the node as a killed process would: nothing is released, and its
// node lease is gone as if its TTL had ended.
func (n *testNode) crash() {
	n.t.Helper()
	must(n.t, n.channel.Close())
	n.stopRefreshing()
	must(n.t, n.Bury(n.t.Context(), n.opts.NodeID))
}

func (n *testNode) claim(address string) *Lease {
	n.t.Helper()
	l := new(Lease)
	n.claimInto(l, address)
	return l
}

func (n *testNode) claimInto(l *Lease, address string) []Owner {
	n.t.Helper()
	others, err := n.claimBy(time.Now().Add(15*time.Second), l, address)
	must(n.t, err)
	return others
}

// claimBy claims and waits for the answer.
func (n *testNode) claimBy(deadline time.Time, l *Lease, address string) (others []Owner, err error) {
	answered := make(chan struct{})
	n.ClaimAsync(deadline, l, address, func(o []Owner, e error) {
		others, err = o, e
		close(answered)
	})
	receive(n.t, answered, "the claim is answered")
	return others, err
}

// claimFor is claimBy with a deadline so far ahead.
func (n *testNode) claimFor(d time.Duration, l *Lease, address string) ([]Owner, error) {
	return n.claimBy(time.Now().Add(d), l, address)
}

// refreshAllNow lets a refresh interval pass.
func (n *testNode) refreshAllNow() {
	for range n.wheel.slots {
		n.refresher.tick(n.t.Context(), 1)
	}
}

func (n *testNode) owner(l *Lease) Owner { return Owner{n.opts.NodeID, l.Token()} }

func (n *testNode) wantOwners(address string, want ...Owner) {
	n.t.Helper()
	got, err := n.Lookup(n.t.Context(), address)
	must(n.t, err)
	if !slices.Equal(got, want) {
		n.t.Fatalf("owners of %s: %v, want %v", address, got, want)
	}
}

// eventuallyOwners waits for what is committed in the background.
func (n *testNode) eventuallyOwners(address string, want ...Owner) {
	n.t.Helper()
	var got []Owner
	eventually(n.t, func() bool {
		got, _ = n.Lookup(n.t.Context(), address)
		return slices.Equal(got, want)
	}, func() string { return fmt.Sprintf("owners of %s: %v, want %v", address, got, want) })
}

func (n *testNode) wantTTL(address string) {
	n.t.Helper()
	ttl, err := n.rdb.PTTL(n.t.Context(), n.keys.Address(address)).Result()
	must(n.t, err)
	if ttl <= 0 || ttl > n.timing.LeaseTTL() {
		n.t.Fatalf("TTL of %s is %v, want up to %v", address, ttl, n.timing.LeaseTTL())
	}
}

func (n *testNode) wantTaken(want *Lease) {
	n.t.Helper()
	if got := receive(n.t, n.taken, "a lease is taken"); got != want {
		n.t.Fatalf("taken: %s, want %s", got.Address(), want.Address())
	}
}

func (n *testNode) wantSettled(address string, want bool) {
	n.t.Helper()
	got, err := n.Settled(n.t.Context(), address)
	must(n.t, err)
	if got != want {
		n.t.Fatalf("settled for %s: %v, want %v", address, got, want)
	}
}

func (n *testNode) eventuallySettled(address string) {
	n.t.Helper()
	var err error
	eventually(n.t, func() bool {
		var settled bool
		settled, err = n.Settled(n.t.Context(), address)
		return settled
	}, func() string { return fmt.Sprintf("%s is not settled (error: %v)", address, err) })
}

func (s store) flush(t testing.TB) {
	t.Helper()
	ctx, c := t.Context(), s.client(t)
	if cluster, ok := c.(*redis.ClusterClient); ok {
		must(t, cluster.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error { return m.FlushAll(ctx).Err() }))
		return
	}
	must(t, c.FlushAll(ctx).Err())
}

// onPipelines is called with each pipeline that a client sends.
type onPipelines func(send func() error, cmds []redis.Cmder) error

func (f onPipelines) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f onPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (f onPipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return f(func() error { return next(ctx, cmds) }, cmds)
	}
}

func eventually(t testing.TB, ok func() bool, complaint func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(complaint())
		}
	}
}

func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("not within 20 s: %s", what)
	}
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error: %v, want one that is %v", err, want)
	}
}

// value returns what a counter or gauge says.
func value(t testing.TB, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	must(t, m.Write(&out))
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}
