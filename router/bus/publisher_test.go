package bus

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// fakeConn is a connection to nowhere, as one that is detached.
type fakeConn struct {
	mu      sync.Mutex
	written strings.Builder
	replies string
	takes   int           // how much a write takes at once; 0: all
	allowed chan struct{} // the rest of a write waits for it
	fails   error         // of the next write
	writing func()        // called once, at the next write
	closed  bool
}

func (c *fakeConn) Detach() bool { return true }

func (c *fakeConn) TryRead(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(b, c.replies)
	c.replies = c.replies[n:]
	return n, nil
}

func (c *fakeConn) TryWrite(b []byte) (int, error) {
	if f := c.writing; f != nil {
		c.writing = nil
		f()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takes > 0 {
		b = b[:min(c.takes, len(b))]
	}
	c.written.Write(b)
	return len(b), c.fails
}

func (c *fakeConn) WriteBy(_ time.Time, b []byte) (int, error) {
	<-c.allowed
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.written.Write(b)
}

func (c *fakeConn) Read([]byte) (int, error) { return 0, io.EOF }

func (c *fakeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

func (c *fakeConn) reply(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies += s
}

// wantWritten asserts that these payloads were published, in their order.
func (c *fakeConn) wantWritten(t *testing.T, payloads ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var want []byte
	for _, p := range payloads {
		want = fmt.Appendf(want, "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%d\r\n%s\r\n", len(p), p)
	}
	if got := c.written.String(); got != string(want) {
		t.Errorf("written: %q, want %q", got, want)
	}
}

// newFake returns the bus of one Redis that publishes on a fakeConn.
func newFake(t testing.TB, conn Conn) (*single, *testSource) {
	source := newSource()
	s := newSingle(&Options{Source: source, Logger: slog.New(slog.DiscardHandler), Connections: new(redisconn.Client)}, nil)
	s.open(conn, func(*publishConn) {})
	t.Cleanup(func() { s.end(t.Context()) })
	return s, source
}

// What the Source keeps for the next batch is published before Flush returns.
func TestWhatTheSourceHasMoreFollowsAtOnce(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	source.each = 1
	source.queue("c", "1", "2", "3")
	s.Flush()
	conn.wantWritten(t, "1", "2", "3")
}

func TestRepliesAreReadInPieces(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	source.queue("c", "a", "b", "c")
	s.Flush()
	for _, c := range ":1\r\n-MISCONF no\r\n:0\r\n" {
		conn.reply(string(c))
		s.Flush()
	}
	source.wantResults(t, "a 1 <nil>", "b 0 MISCONF no", "c 0 <nil>")
	conn.reply(":1\r\n")
	s.poll()
	if !conn.closed {
		t.Error("a reply that nobody waits for was taken")
	}
}

// The rest of what the kernel does not take at once follows in order, and nothing comes
// between; what gathers meanwhile leaves together.
func TestRestOfAWriteIsNotOvertaken(t *testing.T) {
	conn := &fakeConn{takes: 10, allowed: make(chan struct{})}
	s, source := newFake(t, conn)
	source.queue("c", "first")
	s.Flush()
	source.queue("c", "second")
	s.Flush()
	conn.allowed <- struct{}{}
	conn.allowed <- struct{}{}
	s.tasks.Wait()
	conn.wantWritten(t, "first", "second")
}

// Nobody knows what became of batches on a connection that broke.
func TestFailedWriteLosesWhatHasNoReply(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	source.queue("c", "1", "2")
	s.Flush()
	conn.reply(":1\r\n")
	conn.fails = errors.New("broken")
	source.queue("c", "3")
	s.Flush()
	lost := lostError{conn.fails}.Error()
	source.wantResults(t, "1 1 <nil>", "2 0 "+lost, "3 0 "+lost)
	if !errors.Is(lostError{conn.fails}, ErrLost) || !errors.Is(lostError{conn.fails}, conn.fails) {
		t.Error("a lost batch is not ErrLost for its cause")
	}
	if !conn.closed || s.Blocked() == 0 {
		t.Error("a connection that broke is used")
	}
	source.queue("c", "4")
	s.Flush()
	if source.left() != 1 {
		t.Error("a batch was taken without a connection")
	}
}

// A connection may end while batches are made for it.
func TestBatchesOfAnEndedConnectionAreLost(t *testing.T) {
	why := errors.New("reset")
	for when, lost := range map[moment]error{beforePut: errBroken, afterPut: why} {
		conn := new(fakeConn)
		s, source := newFake(t, conn)
		source.at = func(m moment) {
			if m == when {
				s.ResetPublishing("c", why)
			}
		}
		source.queue("c", "1", "2")
		s.Flush()
		conn.wantWritten(t)
		source.wantResults(t, "1 0 "+lostError{lost}.Error())
		if source.left() != 1 {
			t.Error("a batch was taken without a connection")
		}
	}
}

// A connection is not made anew within a second of the last time.
func TestResetPublishingIsBounded(t *testing.T) {
	s, source := newFake(t, new(fakeConn))
	for _, x := range []struct {
		ago    time.Duration // since the last time
		closed bool
	}{{resetInterval, true}, {-time.Minute, false}, {resetInterval, true}} {
		conn := new(fakeConn)
		s.open(conn, func(*publishConn) {})
		s.mu.Lock()
		s.mu.conns = s.mu.conns[len(s.mu.conns)-1:]
		s.mu.resets[""] = time.Now().Add(-x.ago)
		s.mu.Unlock()
		s.ResetPublishing("c", errors.New("a test"))
		if conn.closed != x.closed {
			t.Errorf("reset %v after the last time: closed is %t", x.ago, conn.closed)
		}
	}
	source.wantResults(t)
}

// Connections to other masters may be made anew at the same time.
func TestResetsAreBoundedForEachMaster(t *testing.T) {
	k := newFakeCluster(t)
	var conns []*fakeConn
	for _, server := range []string{"a", "b", "a"} {
		conn := new(fakeConn)
		k.openFake(conn, server, server)
		k.ResetPublishing(server, errors.New("a test"))
		conns = append(conns, conn)
	}
	if !conns[0].closed || !conns[1].closed || conns[2].closed {
		t.Errorf("closed: %t, %t and %t; want both masters' first, and not the next one of the first",
			conns[0].closed, conns[1].closed, conns[2].closed)
	}
}

// MOVED from a channel's former master does not forget that it has another one.
func TestLateMovedChangesNothing(t *testing.T) {
	k := newFakeCluster(t)
	former, present := new(fakeConn), new(fakeConn)
	k.openFake(former, "a", "c")
	source := k.o.Source.(*testSource)
	source.queue("c", "1", "2")
	k.Flush()
	former.reply("-MOVED 1 b\r\n")
	k.Flush()
	k.openFake(present, "b", "c")
	former.reply("-MOVED 1 b\r\n")
	source.queue("c", "3")
	k.Flush()
	moved := ErrMoved.Error()
	source.wantResults(t, "1 0 "+moved, "2 0 "+moved)
	if source.left() != 0 || present.written.Len() == 0 {
		t.Error("the channel's present master is forgotten")
	}
}

// newFakeCluster returns the bus of a Cluster without any connection.
func newFakeCluster(t testing.TB) *cluster {
	k := newCluster(&Options{Source: newSource(), Logger: slog.New(slog.DiscardHandler), Connections: new(redisconn.Client)}, nil)
	t.Cleanup(func() { k.end(t.Context()) })
	return k
}

// openFake has channel published on conn, which leads to a master.
func (k *cluster) openFake(conn Conn, server, channel string) {
	k.open(conn, func(c *publishConn) {
		c.server = server
		k.placeLocked(channel, c)
	})
}

// A connection that comes about when the bus has ended is closed.
func TestConnectionAfterTheEndIsClosed(t *testing.T) {
	s, source := newFake(t, new(fakeConn))
	s.end(t.Context())
	conn := new(fakeConn)
	s.open(conn, func(*publishConn) {})
	source.queue("c", "1")
	s.Flush()
	conn.wantWritten(t)
	if !conn.closed {
		t.Error("a connection stays open")
	}
}

// With TLS it may take seconds to close a connection that Redis does not read. Nobody
// waits for that but the end.
func TestSlowCloseHoldsUpNobody(t *testing.T) {
	conn := &slowToClose{attachedConn: attachedConn{replies: make(chan string)}, allowed: make(chan struct{})}
	s, source := newFake(t, conn)
	t.Cleanup(func() {
		close(conn.allowed)
		close(conn.replies)
	})
	s.ResetPublishing("c", errors.New("a test"))
	next := new(fakeConn)
	s.open(next, func(*publishConn) {})
	source.queue("c", "1")
	s.Flush()
	next.wantWritten(t, "1")
}

type slowToClose struct {
	attachedConn
	allowed chan struct{}
}

func (c *slowToClose) Close() error { <-c.allowed; return nil }

// A reply is overdue when none has come for replyTimeout, whatever else is written.
func TestOverdueReplyEndsTheConnection(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	late := func() { // as if replyTimeout had passed
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.mu.conns {
			c.progress = time.Now().Add(-replyTimeout - time.Second)
		}
	}
	source.queue("c", "1", "2")
	s.Flush()
	late()
	conn.reply(":1\r\n")
	s.tick()
	if conn.closed {
		t.Error("a connection was closed on which a reply has just come")
	}
	source.queue("c", "3")
	s.Flush()
	late()
	s.tick()
	silent := lostError{errSilent}.Error()
	source.wantResults(t, "1 1 <nil>", "2 0 "+silent, "3 0 "+silent)
}

func TestUnansweredPublishesAreBounded(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	source.each = maxUnreplied / 2
	source.queue("c", make([]string, 3*maxUnreplied)...)
	s.Flush()
	if left := source.left(); left != 2*maxUnreplied {
		t.Errorf("%d batches are left, want %d", left, 2*maxUnreplied)
	}
	conn.reply(strings.Repeat(":1\r\n", maxUnreplied))
	s.Flush()
	if left := source.left(); left != maxUnreplied {
		t.Errorf("after the replies %d batches are left, want %d", left, maxUnreplied)
	}
}

// One write has so many bytes at the most, and a batch.
func TestWritesAreBounded(t *testing.T) {
	conn := &fakeConn{takes: 1, allowed: make(chan struct{})}
	s, source := newFake(t, conn)
	source.queue("c", slices.Repeat([]string{strings.Repeat("x", maxOut/4)}, 10)...)
	s.Flush()
	if left := source.left(); left != 6 {
		t.Errorf("%d batches are left, want 6", left)
	}
	close(conn.allowed)
	s.tasks.Wait()
	until(t, "all are published", func() bool { return source.left() == 0 })
}

// Whoever takes results publishes what follows from them.
func TestSourceMayFlush(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	source.published = func(r Result) {
		if r.Tag == "1" {
			source.queue("c", "2")
			s.Flush()
		}
	}
	source.queue("c", "1")
	s.Flush()
	conn.reply(":1\r\n")
	s.Flush()
	conn.wantWritten(t, "1", "2")
}

// A payload is only lent: what is kept of it is a copy.
func TestCollectorKeepsACopy(t *testing.T) {
	var c collector
	scratch := []byte("first")
	c.Put(Publication{Channel: "c", Payload: scratch})
	copy(scratch, "other")
	if got := string(c.all[0].Payload); got != "first" {
		t.Errorf("the payload is %q", got)
	}
}

// Whoever flushes while another goroutine does has that one go on.
func TestFlushDuringAWriteIsNotForgotten(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	conn.writing = func() {
		source.queue("c", "2")
		s.Flush()
	}
	source.queue("c", "1")
	s.Flush()
	conn.wantWritten(t, "1", "2")
}

// Whatever many goroutines flush is published once, in order.
func TestManyFlush(t *testing.T) {
	conn := new(fakeConn)
	s, source := newFake(t, conn)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				source.queue("c", "x")
				conn.reply("")
				s.Flush()
			}
		})
	}
	group.Wait()
	if left := source.left(); left != 0 {
		t.Errorf("%d batches are left when all have flushed", left)
	}
	conn.wantWritten(t, slices.Repeat([]string{"x"}, 800)...)
}

// Where a connection can't be detached, a goroutine reads the replies and writes what
// gathered until they came.
func TestAttachedConnection(t *testing.T) {
	conn := &attachedConn{replies: make(chan string)}
	s, source := newFake(t, conn)
	source.queue("c", "1")
	s.Flush()
	source.queue("c", "2")
	s.Flush()
	source.queue("c", "3")
	s.Flush()
	conn.wantWritten(t, "1")
	conn.replies <- ":1\r\n"
	source.awaitResults(t, 1)
	until(t, "what gathered is published", func() bool { return source.left() == 0 })
	conn.replies <- ":1\r\n:0\r\n"
	source.awaitResults(t, 3)
	conn.wantWritten(t, "1", "2", "3")
	source.wantResults(t, "1 1 <nil>", "2 1 <nil>", "3 0 <nil>")
	close(conn.replies)
}

type attachedConn struct {
	fakeConn
	replies chan string
}

func (c *attachedConn) Detach() bool { return false }

func (c *attachedConn) Read(b []byte) (int, error) {
	s, ok := <-c.replies
	if !ok {
		return 0, io.EOF
	}
	return copy(b, s), nil
}

// BenchmarkFlush measures the way of one batch to the connection and of its result back.
func BenchmarkFlush(b *testing.B) {
	b.ReportAllocs()
	conn := new(benchConn)
	source := &benchSource{payload: []byte(strings.Repeat("x", 1000)), tag: new(int)}
	s := newSingle(&Options{Source: source, Logger: slog.New(slog.DiscardHandler), Connections: new(redisconn.Client)}, nil)
	s.open(conn, func(*publishConn) {})
	for b.Loop() {
		source.due = true
		s.Flush()
	}
	s.Flush()
	s.end(b.Context())
	if source.results != b.N {
		b.Errorf("%d results of %d batches", source.results, b.N)
	}
}

// benchConn answers each write.
type benchConn struct{ unanswered bool }

func (*benchConn) Detach() bool                           { return true }
func (*benchConn) Read([]byte) (int, error)               { return 0, io.EOF }
func (*benchConn) Close() error                           { return nil }
func (*benchConn) WriteBy(time.Time, []byte) (int, error) { return 0, io.EOF }

func (c *benchConn) TryWrite(b []byte) (int, error) { c.unanswered = true; return len(b), nil }

func (c *benchConn) TryRead(b []byte) (int, error) {
	if !c.unanswered {
		return 0, nil
	}
	c.unanswered = false
	return copy(b, ":1\r\n"), nil
}

type benchSource struct {
	due     bool
	payload []byte
	tag     *int
	results int
}

func (s *benchSource) Batches(out Outlet) bool {
	if s.due && out.Ready("c") {
		s.due = false
		out.Put(Publication{Channel: "c", Payload: s.payload, Tag: s.tag})
	}
	return false
}

func (s *benchSource) Published(results []Result) { s.results += len(results) }
