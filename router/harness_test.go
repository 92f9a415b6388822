package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
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
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task/standstill"
)

// machine knows when the machine stood still.
var machine *standstill.Watch

// watched are the tests while machine watches.
type watched struct{ redistest.Main }

func (w watched) Run() int {
	machine = standstill.Start()
	defer machine.Stop()
	return w.Main.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(watched{redistest.Main{M: m}}) }

// patience bounds every wait of a test. It is reached only by a failure.
const patience = 2 * time.Minute

// calmHeartbeat makes node leases that outlive a busy machine's pauses. Where a node's
// lease is to end it is short, so that this is soon seen.
const (
	calmHeartbeat    = 20 * time.Second
	shortHeartbeat   = time.Second
	relaxedHeartbeat = time.Minute
)

// testNode is a router with what a node would put around it.
type testNode struct {
	*Router
	t      testing.TB
	client redis.UniversalClient
	reg    *registry.Registry
	m      *metrics.Metrics
	where  *httptest.Server
	gone   atomic.Bool

	heartbeat time.Duration
	refusals  atomic.Int32 // of newcomers that connect tried again

	subscribing sync.Mutex   // held while the node subscribes its private channel, and by unsubscribe
	hearing     sync.RWMutex // held while the node takes what it hears, and by holdInbox
}

// startNode starts a router on its own Redis client. change may be nil.
func startNode(t testing.TB, name string, client redis.UniversalClient, prefix string, heartbeat time.Duration, change func(*Options)) *testNode {
	t.Helper()
	n := &testNode{t: t, client: client, m: metrics.New(prometheus.NewRegistry())}
	n.where = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"node":%q}`, name)
	}))
	t.Cleanup(n.where.Close)
	opts := Options{
		NodeID: name, URL: n.where.URL, Version: "test", Redis: client, Metrics: n.m.Router, Logger: testLogger(t),
		MessageTimeout: patience,
		ValidData:      func([]byte) bool { return true }, // tests send what reads well
	}
	opts.subscribing = func(channel string, subscribe func()) {
		if channel == n.in.private {
			n.subscribing.Lock()
			defer n.subscribing.Unlock()
		}
		subscribe()
	}
	opts.Bus = func(source bus.Source) (bus.Bus, error) {
		b, err := source.(*Router).redisBus(source)
		return heldBus{b, &n.hearing}, err
	}
	if change != nil {
		change(&opts)
	}
	reg, err := registry.New(registry.Options{
		Redis: client, NodeID: name, Prefix: prefix, Heartbeat: heartbeat,
		Metrics: n.m.Registry, Logger: opts.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Registry, n.reg, n.heartbeat = reg, reg, heartbeat
	if n.Router, err = New(opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	until(t, "it can publish", func() bool { return n.bus.Blocked() == 0 })
	return n
}

// unready returns why the node would welcome nobody now, or nil.
func (n *testNode) unready() error {
	for _, h := range n.Hindrances() {
		return h.Err
	}
	return nil
}

// isLookup reports whether a command looks an address's owners up.
func isLookup(cmd redis.Cmder) bool {
	args := cmd.Args()
	return len(args) > 1 && args[0] == "evalsha" && args[1] == registry.LookupScript()
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
	n.where.Close()
}

// die ends the node as SIGKILL would: its connections close, nothing is released,
// nobody listens at its address. Redis has noticed when it returns.
func (n *testNode) die() {
	n.t.Helper()
	listeners := n.listeners()
	n.gone.Store(true)
	n.where.Close()
	n.cancel()
	n.in.sub.Reset()
	n.tasks.wait()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.reg.Stop(ctx) // with no time left it can't release anything
	until(n.t, "Redis knows that the node has gone", func() bool { return n.listeners() < max(listeners, 1) })
}

// listeners counts, on one Redis, those who have subscribed the node's private channel.
func (n *testNode) listeners() int64 {
	n.t.Helper()
	channel := n.keys.Channel(n.opts.NodeID)
	counts, err := n.client.PubSubNumSub(context.Background(), channel).Result()
	if err != nil {
		n.t.Fatal(err)
	}
	return counts[channel]
}

// testSession is a session that keeps what it is given.
type testSession struct {
	client string
	node   *testNode
	full   atomic.Bool

	mu      sync.Mutex
	got     []string
	ids     map[string]int
	last    Message // without its data
	evicted error
	changed chan struct{}
}

func (s *testSession) Deliver(m *Message) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full.Load() {
		return Overloaded
	}
	if s.evicted != nil {
		return Offline
	}
	s.got = append(s.got, string(m.Data))
	s.ids[m.ID.String()]++
	s.last = *m
	s.last.Data = nil
	s.wake()
	return Delivered
}

func (s *testSession) Evict(_ string, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = reason
	s.wake()
}

func (s *testSession) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
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
			s.node.t.Fatalf("%s on %s never %s; it got %d messages", s.client, s.node.opts.NodeID, what, len(s.got))
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

func (s *testSession) wantEvicted(want error) {
	s.node.t.Helper()
	s.await("was evicted", func() bool { return s.evicted != nil })
	if s.evicted != want {
		s.node.t.Errorf("%s was evicted for %v, want %v", s.client, s.evicted, want)
	}
}

func (s *testSession) leave() { s.node.Leave(s.client, s) }

func newTestSession(n *testNode, client string) *testSession {
	return &testSession{client: client, node: n, ids: make(map[string]int), changed: make(chan struct{})}
}

// connect joins a session of client, as a node does for a connection. Where the node
// refuses newcomers for a moment, it is tried again.
func (n *testNode) connect(client string) *testSession {
	n.t.Helper()
	began := time.Now()
	s, err := n.tryConnect(client)
	for deadline := began.Add(patience); stoodStill(err) && time.Now().Before(deadline); s, err = n.tryConnect(client) {
		n.refused(client, err, began)
		time.Sleep(2 * time.Millisecond) // nothing tells when a machine that stood still goes on
	}
	if err != nil {
		n.t.Fatalf("connecting %s to %s: %v", client, n.opts.NodeID, err)
	}
	return s
}

// refused fails the test if a node of a calm cluster refuses a second newcomer, or one
// twice, and the machine has not stood still: nobody would notice otherwise that it is not
// ready again and again. Where node leases end soon nothing is said: a test may have
// brought that about.
func (n *testNode) refused(client string, err error, began time.Time) {
	n.t.Helper()
	if n.refusals.Add(1) == 2 && n.heartbeat >= calmHeartbeat && !machine.Since(began.Add(-n.heartbeat)) {
		n.t.Errorf("connecting %s to %s, which has refused somebody before although nothing happens to it: %v", client, n.opts.NodeID, err)
	}
}

// stoodStill reports whether a node refuses newcomers because it missed a heartbeat or a
// reply, as it does for a moment on a machine that stands still.
func stoodStill(err error) bool {
	return slices.ContainsFunc([]error{errUnsubscribed, errLeaseExpired, registry.ErrUnsettled, context.DeadlineExceeded, os.ErrDeadlineExceeded},
		func(cause error) bool { return errors.Is(err, cause) })
}

func (n *testNode) tryConnect(client string) (*testSession, error) {
	s := newTestSession(n, client)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s, n.Join(ctx, client, s)
}

// Send sends at once, as a node does that has nothing more to send.
func (n *testNode) Send(m Message, done func(MessageID, Outcome)) {
	m.Receipt = done != nil
	n.Router.Send(m, done)
	n.Flush()
}

// sendTo sends and returns where the outcome will be.
func (n *testNode) sendTo(to, data string) <-chan Outcome {
	out := make(chan Outcome, 2) // two, so that a second outcome would be seen
	n.Send(Message{From: "tester", To: to, Data: []byte(data)}, func(_ MessageID, o Outcome) { out <- o })
	return out
}

// want waits for the outcome of a message.
func (n *testNode) want(out <-chan Outcome, want Outcome) {
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

func (n *testNode) wantOutcome(to, data string, want Outcome) {
	n.t.Helper()
	n.want(n.sendTo(to, data), want)
}

// lockRoute returns the route to an address, or nil, with its shard's lock held.
func (n *testNode) lockRoute(address string) (rt *route, unlock func()) {
	s := n.shards.of(address)
	s.lock()
	return s.routes[address], s.unlockAndNotify
}

// takeAllLocks takes each lock of the node's for a moment. It waits for good if one is held
// while something is delivered.
func (n *testNode) takeAllLocks() {
	n.shards.lockAll()
	n.shards.unlockAll()
	for _, p := range n.peers.all() {
		p.do(n.Router, func(*link.Link) {})
	}
	n.local.claimed("nobody")
}

// lockNewRoute is lockRoute that makes the route if there is none.
func (n *testNode) lockNewRoute(address string) (rt *route, s *shard) {
	s = n.shards.of(address)
	s.lock()
	return s.routeTo(address), s
}

// pendingMessages returns how many messages are pending, and how many bytes of data.
func (n *testNode) pendingMessages() (count, bytes int) {
	return int(n.room.messages.Load()), int(n.room.bytes.Load())
}

// eachPending calls f for each message that is pending, with its shard's lock held.
func (n *testNode) eachPending(f func(p *pending)) {
	for _, s := range n.shards {
		s.lock()
		for p := s.pending.oldest; p != nil; p = p.deadlineNode.newer {
			f(p)
		}
		s.mu.Unlock()
	}
}

// expire has the deadline of all that is pending come now.
func (n *testNode) expire() {
	for _, s := range n.shards {
		n.expireShard(s)
	}
	n.flush()
}

func (n *testNode) expireShard(s *shard) {
	s.lock()
	defer s.unlockAndNotify()
	now := n.now()
	for p := s.pending.oldest; p != nil; p = p.deadlineNode.newer {
		p.deadline = now
	}
	s.setDeadlineBy(&s.expiry, now)
}

// wantTimeout sends a message that no lookup finds an owner for while something is
// wrong with Redis, and has its deadline come then.
func (n *testNode) wantTimeout(to, data string) {
	n.t.Helper()
	out := n.sendTo(to, data)
	until(n.t, "a lookup has failed", func() bool {
		rt, unlock := n.lockRoute(to)
		defer unlock()
		return len(out) > 0 || rt != nil && (rt.state == routeDelayed || rt.degraded)
	})
	n.expire()
	n.want(out, Timeout)
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

func (n *testNode) wasted() float64 { return testutil.ToFloat64(n.m.Router.WastedDeliveries) }

// suspend has nothing published to a peer until resume, as while it is suspect.
func (n *testNode) suspend(node string) *peer {
	p := n.peers.lockOrAdd(node)
	defer p.mu.Unlock()
	p.state = peerSuspect // and nobody probes it
	p.link.Suspend()
	p.changedLocked(n.Router)
	return p
}

// resume ends that. What has waited is published with the next flush.
func (n *testNode) resume(p *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onLocked(n.Router, foundAlive)
	p.changedLocked(n.Router)
}

// markDead notes that a peer is dead.
func (n *testNode) markDead(node string) {
	p := n.peers.lockOrAdd(node)
	defer p.mu.Unlock()
	p.state = peerDead
	p.changedLocked(n.Router)
}

// onLink looks at the link to a node, which must be a peer.
func (n *testNode) onLink(node string, look func(*link.Link)) {
	p := n.peers.lock(node)
	defer p.mu.Unlock()
	look(p.link)
}

// unacknowledged returns how many frames for a node are not acknowledged.
func (n *testNode) unacknowledged(node string) (frames int) {
	if p := n.peers.lock(node); p != nil {
		defer p.mu.Unlock()
		return p.link.Len()
	}
	return 0
}

// holdInbox keeps a node from taking what comes on its channels, so that it does not
// acknowledge, until the result is called.
func (n *testNode) holdInbox() (release func()) {
	n.hearing.Lock()
	return sync.OnceFunc(n.hearing.Unlock)
}

// heldBus is a bus whose listeners can be held up.
type heldBus struct {
	bus.Bus
	hearing *sync.RWMutex
}

func (b heldBus) Subscribe(channel string, l bus.Listener) bus.Subscription {
	return b.Bus.Subscribe(channel, heldListener{l, b.hearing})
}

type heldListener struct {
	bus.Listener
	hearing *sync.RWMutex
}

func (l heldListener) Received(channel, payload string) {
	l.hearing.RLock()
	defer l.hearing.RUnlock()
	l.Listener.Received(channel, payload)
}
