package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// testTime bounds every wait of a test. It is reached only by a failure.
const testTime = 2 * time.Minute

// never is a heartbeat that no test lives to see: what happens, the test does. calm is
// one for nodes that keep beating: epochs end after 12 s of silence, node leases after
// 18 s, and no machine stands still for so long. eventuallySettled waits for neither.
const (
	never = time.Hour
	calm  = 6 * time.Second
)

// store is the Redis that the nodes of a test share.
type store struct {
	prefix string
	client func(testing.TB) redis.UniversalClient
}

func single(s *redistest.Server) store {
	return store{s.Prefix, func(t testing.TB) redis.UniversalClient { return s.PatientClient(t) }}
}

func sharded(c *redistest.Cluster) store {
	return store{c.Prefix, func(t testing.TB) redis.UniversalClient { return c.PatientClient(t) }}
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
	t        testing.TB
	channel  *redis.PubSub
	evicted  chan *Lease
	restored chan *Lease
	lost     chan struct{}
	hasty    bool
	rule     Duplicates // of its claims
}

func (n *testNode) OnEvicted(l *Lease)             { n.evicted <- l }
func (n *testNode) OnRestored(l *Lease, _ []Owner) { n.restored <- l }
func (n *testNode) OnDataLost()                    { n.lost <- struct{}{} }
func (n *testNode) OnLeaseLost()                   { n.lost <- struct{}{} }

// quietNode makes a node that hears its channel and has not said so yet. Redis has all
// the time of the world to answer it.
func quietNode(t testing.TB, s store, id string, opts Options) *testNode {
	t.Helper()
	return newTestNode(t, s, id, opts, testTime)
}

// hastyNode makes a node that beat once and gives Redis half a second for an answer. A
// claim of it that fails because a machine stood still is made again.
func hastyNode(t testing.TB, s store, id string) *testNode {
	t.Helper()
	n := newTestNode(t, s, id, Options{}, 500*time.Millisecond)
	n.hasty = true
	n.beat()
	return n
}

func newTestNode(t testing.TB, s store, id string, opts Options, roundTrip time.Duration) *testNode {
	t.Helper()
	opts.Redis, opts.NodeID, opts.Prefix = s.client(t), id, s.prefix
	if opts.Heartbeat == 0 {
		opts.Heartbeat = never
	}
	r, err := New(opts)
	must(t, err)
	r.roundTrip = roundTrip
	n := &testNode{Registry: r, t: t, rule: Allow,
		evicted: make(chan *Lease, 20000), restored: make(chan *Lease, 20000), lost: make(chan struct{}, 100)}
	n.listen()
	r.Start(n)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.Stop(ctx) // Redis may be gone, and what it did not hear is forgotten with the test
	})
	return n
}

// under has the node claim under another rule than Allow.
func (n *testNode) under(rule Duplicates) *testNode {
	n.rule = rule
	return n
}

func (n *testNode) listen() {
	n.t.Helper()
	subscribe := n.opts.Redis.Subscribe
	if n.redis.IsCluster() {
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

// keepBeating beats until the test ends, whatever happens to Redis: several times a
// heartbeat, so that none is missed on a machine that stands still.
func (n *testNode) keepBeating() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(min(n.timing.Heartbeat, 200*time.Millisecond))
		defer ticker.Stop()
		for ctx.Err() == nil {
			beat, cancel := context.WithTimeout(ctx, 5*time.Second)
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
	must(n.t, n.RemoveNode(n.t.Context(), n.opts.NodeID))
}

func (n *testNode) claim(address string) *Lease {
	n.t.Helper()
	l := new(Lease)
	n.claimInto(l, address)
	return l
}

func (n *testNode) claimInto(l *Lease, address string) []Owner {
	n.t.Helper()
	others, err := n.claimFor(testTime, l, address)
	for n.hasty && errors.Is(err, context.DeadlineExceeded) {
		others, err = n.claimFor(testTime, l, address)
	}
	must(n.t, err)
	return others
}

// claimBy claims and waits for the answer.
func (n *testNode) claimBy(deadline time.Time, l *Lease, address string) (others []Owner, err error) {
	answered := make(chan struct{})
	n.ClaimAsync(deadline, l, address, n.rule, func(o []Owner, e error) {
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

// wantClaimWaits says that a claim of address has to wait for an epoch, and withdraws it.
func (n *testNode) wantClaimWaits(address string) {
	n.t.Helper()
	waiting := n.repeating.Load()
	p := n.begin(time.Time{}, address)
	eventually(n.t, func() bool { return n.repeating.Load() > waiting || len(p.answers) > 0 },
		func() string { return "the claim of " + address + " neither waits nor is answered" })
	n.Withdraw(&p.lease)
	wantError(n.t, p.answer(n.t).err, ErrUnsettled)
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

func (n *testNode) wantEvicted(want *Lease) {
	n.t.Helper()
	if got := receive(n.t, n.evicted, "a lease is taken"); got != want {
		n.t.Fatalf("taken: %s, want %s", got.Address(), want.Address())
	}
}

func (n *testNode) wantSettled(address string, want bool) {
	n.t.Helper()
	got, err := n.ConfirmAbsent(n.t.Context(), address)
	must(n.t, err)
	if got != want {
		n.t.Fatalf("settled for %s: %v, want %v", address, got, want)
	}
}

// eventuallySettled waits until an epoch is settled. If the heartbeat is a long one the
// test does not wait for what only time brings.
func (n *testNode) eventuallySettled(address string) {
	n.t.Helper()
	var err error
	eventually(n.t, func() bool {
		n.passTime()
		var settled bool
		settled, err = n.ConfirmAbsent(n.t.Context(), address)
		return settled
	}, func() string { return fmt.Sprintf("%s is not settled (error: %v)", address, err) })
}

func (n *testNode) eventuallyAllSettled() {
	n.t.Helper()
	eventually(n.t, func() bool {
		n.passTime()
		return n.AllSettled()
	}, func() string { return n.opts.NodeID + " is not settled" })
}

// passTime has the time pass, if heartbeats are long, that an epoch needs to settle: its
// master is up for long enough, and no lookup of before is on its way.
func (n *testNode) passTime() {
	if n.timing.Heartbeat < calm {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.epochs.of {
		e.peersReturned = true
		e.settledAt = e.settledAt.Add(-n.timing.Heartbeat)
	}
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

// patient returns the URL of a client that waits for as long as a test does.
func patient(rawURL string) string {
	return rawURL + fmt.Sprintf("?dial_timeout=%v&read_timeout=%[1]v&write_timeout=%[1]v&pool_timeout=%[1]v", testTime)
}

func eventually(t testing.TB, ok func() bool, complaint func() string) {
	t.Helper()
	for deadline := time.Now().Add(testTime); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(complaint())
		}
	}
}

func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(testTime):
		t.Fatalf("not within %v: %s", testTime, what)
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

// ownCPU returns how much CPU this process has used.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
