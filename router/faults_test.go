package router

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/bus"
)

// numbered are messages of a node whose time a test lets pass.
type numbered struct {
	from  *testNode
	clock *steppedClock
	sent  []sentMessage
}

// sentMessage is a message with the time at which it must have an outcome.
type sentMessage struct {
	deadline time.Time
	outcome  <-chan Outcome
	known    bool // there was one
	got      Outcome
}

// send sends messages, to two clients of other nodes and to nobody, and lets a moment pass
// after each.
func (s *numbered) send(count int) {
	s.from.t.Helper()
	for range count {
		to := []string{"bob", "eve", "nobody"}[len(s.sent)%3]
		deadline := s.clock.Now().Add(s.from.opts.MessageTimeout)
		s.sent = append(s.sent, sentMessage{deadline: deadline, outcome: s.from.sendTo(to, "x")})
		s.pass(5 * time.Millisecond)
	}
}

// pass lets time pass. It does not pass a message's deadline before there is an outcome.
func (s *numbered) pass(d time.Duration) {
	s.from.t.Helper()
	const step = 5 * time.Millisecond
	for end := s.clock.Now().Add(d); s.clock.Now().Before(end); {
		next := s.clock.Now().Add(step)
		for i := range s.sent {
			if m := &s.sent[i]; !m.answered() && m.deadline.Before(next) {
				next = m.deadline
			}
		}
		s.from.setClock(s.clock, next)
		for i := range s.sent {
			m := &s.sent[i]
			if !m.answered() && !m.deadline.After(next) && !m.await() {
				s.from.t.Fatalf("message %d has no outcome at its deadline", i)
			}
		}
		time.Sleep(step / 5) // others need time, too, which no event announces
	}
}

// answered reports whether there is an outcome by now.
func (m *sentMessage) answered() bool {
	if !m.known {
		select {
		case m.got = <-m.outcome:
			m.known = true
		default:
		}
	}
	return m.known
}

// await reports whether there is an outcome while the time stands still.
func (m *sentMessage) await() bool {
	select {
	case m.got = <-m.outcome:
		m.known = true
		return true
	case <-time.After(patience):
		return false
	}
}

// A publish that returns before it is sent, into an unbounded slice, loses
// messages without a word when nobody takes them (psrpc). Here each has exactly
// one outcome, at its deadline at the latest, whatever happens to Redis and the receiver
// meanwhile.
func TestEverySendHasExactlyOneOutcome(t *testing.T) {
	const timeout = time.Second
	c, clock := newSteppedCluster(t, 3, timeout)
	c.node(1).connect("bob")
	c.node(2).connect("eve")
	s := &numbered{from: c.node(0), clock: clock}
	s.send(100)
	c.node(1).in.sub.Reset()
	s.send(100)
	c.redis.Pause()
	t.Cleanup(c.redis.Resume)
	s.send(50)
	s.pass(timeout) // and nothing can be known
	c.redis.Resume()
	s.send(50)
	c.node(2).die()
	s.send(100)
	s.pass(2 * timeout)
	c.node(0).stop() // whatever comes late must have come by now
	outcomes := make(map[Outcome]int)
	for i, m := range s.sent {
		outcomes[m.got]++
		if len(m.outcome) > 0 {
			t.Errorf("message %d has two outcomes: %v and %v", i, m.got, <-m.outcome)
		}
	}
	t.Logf("outcomes: %v", outcomes)
	if outcomes[Delivered] == 0 || outcomes[Timeout] < 50 {
		t.Error("too few of them are delivered, or timeout, to prove anything")
	}
	if left := c.node(0).leftOfRoom(); len(left) > 0 {
		t.Errorf("the node still has %v", left)
	}
}

// newSteppedCluster starts nodes on a Redis of their own. The time of the first is stepped.
func newSteppedCluster(t *testing.T, n int, timeout time.Duration) (*cluster, *steppedClock) {
	t.Helper()
	clock, server := newSteppedClock(), redistest.StartOwn(t)
	server.AwaitUptime()
	return clusterOn(t, relaxedHeartbeat, server, server.Prefix, func() redis.UniversalClient { return server.Client(t) }, n, func(o *Options) {
		if o.NodeID == "n0" {
			o.MessageTimeout, o.Runtime = timeout, clock
		}
	}), clock
}

// A message has its outcome in time although nothing else happens on its node.
func TestLoneMessageHasAnOutcomeInTime(t *testing.T) {
	c, clock := newSteppedCluster(t, 1, time.Second)
	c.redis.Pause()
	t.Cleanup(c.redis.Resume)
	s := &numbered{from: c.node(0), clock: clock}
	s.send(1)
	s.pass(time.Second)
	c.redis.Resume()
	if got := s.sent[0].got; got != Timeout {
		t.Errorf("the outcome is %v", got)
	}
}

// faultyConn interferes with what a node publishes.
type faultyConn struct {
	bus.Conn
	on    *atomic.Bool
	count *atomic.Int32 // of writes that were interfered with
	fault func(next func([]byte) (int, error), b []byte) (int, error)
}

func (f *faultyConn) TryWrite(b []byte) (int, error) {
	if !f.on.Load() {
		return f.Conn.TryWrite(b)
	}
	f.count.Add(1)
	return f.fault(f.Conn.TryWrite, b)
}

// withFaults starts two nodes, the first of which has a fault when on is set. count is how
// often it had.
func withFaults(t *testing.T, fault func(next func([]byte) (int, error), b []byte) (int, error)) (c *cluster, on *atomic.Bool, count *atomic.Int32) {
	t.Helper()
	on, count = new(atomic.Bool), new(atomic.Int32)
	return newCluster(t, 2, func(o *Options) {
		if o.NodeID == "n0" {
			o.intercept = func(c bus.Conn) bus.Conn { return &faultyConn{c, on, count, fault} }
		}
	}), on, count
}

// sendThrough sends messages while a node's writes are interfered with: all arrive, once and
// in order.
func sendThrough(t *testing.T, fault func(next func([]byte) (int, error), b []byte) (int, error)) *cluster {
	t.Helper()
	const messages = 200
	c, on, count := withFaults(t, fault)
	nobody := c.client.Subscribe(t.Context(), c.node(0).keys.Channel("xx")) // Redis counts it as a receiver
	defer nobody.Close()
	if _, err := nobody.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	bob := c.node(1).connect("bob")
	on.Store(true)
	var want []string
	var outs []<-chan Outcome
	for i := range messages {
		want = append(want, strconv.Itoa(i))
		outs = append(outs, c.node(0).sendTo("bob", want[i]))
		if i%5 == 0 {
			<-outs[i] // so that there are many writes
		}
	}
	for i, out := range outs {
		if i%5 != 0 {
			c.node(0).want(out, Delivered)
		}
	}
	bob.wantGot(want...)
	if n := count.Load(); n < messages/5 {
		t.Errorf("only %d writes were interfered with", n)
	}
	return c
}

// twice publishes all on a connection of its own, too.
func twice(t *testing.T) func(next func([]byte) (int, error), b []byte) (int, error) {
	second, err := net.Dial("tcp", redistest.Start(t).Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	return func(next func([]byte) (int, error), b []byte) (int, error) {
		if _, err := second.Write(b); err != nil {
			return 0, err
		}
		return next(b)
	}
}

func TestPublishedTwiceIsDeliveredOnce(t *testing.T) {
	c := sendThrough(t, twice(t))
	if testutil.ToFloat64(c.node(1).drops[dropDuplicate]) == 0 {
		t.Error("nothing came twice")
	}
}

// Redis may forget what it has confirmed: the subscriber's connection was just
// breaking. The link notices and sends it again, in order.
func TestLostPublishIsSentAgain(t *testing.T) {
	var n int
	c := sendThrough(t, func(next func([]byte) (int, error), b []byte) (int, error) {
		if n++; n%4 == 0 { // never twice in a row: the waits in between double
			b = bytes.ReplaceAll(b, []byte(":ch:n1"), []byte(":ch:xx"))
		}
		return next(b)
	})
	if c.resent() == 0 {
		t.Error("nothing was sent again")
	}
}

// A connection that breaks while replies are awaited loses nothing.
func TestBrokenPublisherGoesOn(t *testing.T) {
	var n int
	sendThrough(t, func(next func([]byte) (int, error), b []byte) (int, error) {
		if n++; n%16 == 0 {
			_, _ = next(b)
			return 0, errors.New("broken")
		}
		return next(b)
	})
}

// What the kernel does not take at once is written all the same.
func TestPublisherWritesTheRest(t *testing.T) {
	sendThrough(t, func(next func([]byte) (int, error), b []byte) (int, error) { return next(b[:len(b)/2]) })
}

func TestRecentForgetsTheOldest(t *testing.T) {
	w := newIDWindows()
	want := func(id MessageID, known bool) {
		t.Helper()
		if w.has(id) != known {
			t.Errorf("%v is known: %t, want %t", id, !known, known)
		}
	}
	for i := range uint64(3 * recentIDs) {
		if i%3 != 0 {
			w.add(MessageID{1, i})
		}
	}
	want(MessageID{1, 1}, false)
	want(MessageID{1, 3*recentIDs - 1}, true)
	want(MessageID{1, 2*recentIDs + 1}, (2*recentIDs+1)%3 != 0)
	want(MessageID{1, 3*recentIDs - 3}, false)
	w.add(MessageID{1, 10 * recentIDs})
	want(MessageID{1, 3*recentIDs - 1}, false)
	w.add(MessageID{1, 9*recentIDs + 1}) // late, but in the window
	w.add(MessageID{1, 9 * recentIDs})   // too late
	want(MessageID{1, 9*recentIDs + 1}, true)
	want(MessageID{1, 9 * recentIDs}, false)
	for origin := range uint64(2 * recentOrigins) {
		w.add(MessageID{2 + origin, 7})
	}
	want(MessageID{1 + 2*recentOrigins, 7}, true)
	want(MessageID{2, 7}, false)
	if n := w.of.Len(); n > recentOrigins {
		t.Errorf("%d origins are remembered", n)
	}
}

// An owner that answers its probe from another life is not the owner.
func TestAnotherProcessAtTheAddressProvesDeath(t *testing.T) {
	c := newCluster(t, 2, nil)
	gone := c.node(1)
	gone.connect("bob")
	if c.node(0).goneFrom(t.Context(), gone.where.URL, "n1") {
		t.Error("a node that answers was called gone")
	}
	if !c.node(0).goneFrom(t.Context(), gone.where.URL, "n1-earlier") {
		t.Error("another process at the address was taken for the node")
	}
	if c.node(0).goneFrom(t.Context(), "http://127.0.0.1:1\x7f", "n1") {
		t.Error("an address that can't be asked was taken as proof")
	}
}

func TestBadOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("options without anything were taken")
	}
	c := newCluster(t, 1, nil)
	opts := c.node(0).opts
	opts.Duplicates = "pigeon"
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("duplicates pigeon: %v", err)
	}
}
