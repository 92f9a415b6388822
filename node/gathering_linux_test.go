//go:build !386

package node

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// endFeeding ends what gathering.begin began, as a loop does.
func endFeeding(e *epoll) {
	for _, w := range e.gathering.end(nil) {
		w.writeGathered()
	}
}

// What a feeding leads to is written when it ends, once for each session, and at
// once to a session for which much gathers.
func TestGathering(t *testing.T) {
	n, e := startEpoll(t, nil)
	c, other := connect(t, n.Addr(), "a"), connect(t, n.Addr(), "b")
	a, b := n.session("a"), n.session("b")
	small := &router.Message{From: "x", To: "a", Data: []byte("1")}
	e.gathering.begin()
	e.gathering.begin()
	for range 3 {
		a.Deliver(small)
	}
	b.Deliver(&router.Message{From: "x", To: "b", Data: []byte("1")})
	if queued(a) == 0 || queued(b) == 0 || len(e.gathering.wires) != 2 {
		t.Errorf("%d and %d bytes wait, %d sessions gather", queued(a), queued(b), len(e.gathering.wires))
	}
	endFeeding(e)
	if queued(a) != 0 || queued(b) != 0 {
		t.Errorf("%d and %d bytes wait behind the end", queued(a), queued(b))
	}
	for range 3 {
		c.wantMessage("x", "1")
	}
	other.wantMessage("x", "1")

	half := &router.Message{From: "x", To: "a", Data: []byte(`"` + strings.Repeat("x", maxGathered/2) + `"`)}
	a.Deliver(half)
	if queued(a) == 0 {
		t.Error("written while another loop feeds")
	}
	a.Deliver(half)
	c.wantMessage("x", string(half.Data))
	c.wantMessage("x", string(half.Data))
	a.Deliver(small)
	endFeeding(e)
	c.wantMessage("x", "1")
	a.Deliver(small)
	if queued(a) != 0 {
		t.Error("gathers while nobody feeds")
	}
	c.wantMessage("x", "1")
}

// So are the messages of a batch from another node.
func TestBatchesAreGathered(t *testing.T) {
	n, e := startEpoll(t, nil)
	c := connect(t, n.Addr(), "a")
	for range 2 {
		e.gather(true)
		for range 3 {
			n.session("a").Deliver(&router.Message{From: "x", To: "a", Data: []byte("1")})
		}
		if queued(n.session("a")) == 0 {
			t.Error("written within the batch")
		}
		e.gather(false)
		for range 3 {
			c.wantMessage("x", "1")
		}
	}
}

// Batches are delivered by several goroutines at once: from other nodes, and to the many
// sessions of one client.
func TestBatchesOverlap(t *testing.T) {
	n, e := startEpoll(t, nil)
	var clients []*client
	var sessions []*session
	for i := range 4 {
		name := fmt.Sprint("c", i)
		clients = append(clients, connect(t, n.Addr(), name))
		sessions = append(sessions, n.session(name))
	}
	const batches = 300
	var delivering sync.WaitGroup
	for _, s := range sessions {
		delivering.Go(func() {
			for range batches {
				e.gather(true)
				s.Deliver(&router.Message{From: "x", To: s.client, Data: []byte("1")})
				e.gather(false)
			}
		})
	}
	delivering.Wait()
	for _, c := range clients {
		for range batches {
			c.wantMessage("x", "1")
		}
	}
}

// A session that ends while something gathers for it leaves nothing behind.
func TestGatheredSessionThatEnds(t *testing.T) {
	n, e := startEpoll(t, nil)
	c := connect(t, n.Addr(), "a")
	e.gathering.begin()
	n.session("a").Deliver(&router.Message{From: "x", To: "a", Data: []byte("1")})
	c.conn.Close()
	eventually(t, "it is gone", func() bool { return n.table.size() == 0 })
	endFeeding(e)
	if n.queued.Load() != 0 {
		t.Errorf("%d bytes are queued", n.queued.Load())
	}
}

// A message of the largest size has room behind what gathers.
func TestGatheringMakesRoom(t *testing.T) {
	n, e := startEpoll(t, func(o *Options, _ *localExchange) { o.MaxMessage, o.MaxQueue = 8<<10, 12<<10 })
	c := connect(t, n.Addr(), "a")
	small := `"` + strings.Repeat("x", 4<<10) + `"`
	large := `"` + strings.Repeat("x", 8<<10-2) + `"`
	e.gathering.begin()
	for _, data := range []string{small, large} {
		if o := n.session("a").Deliver(&router.Message{From: "x", To: "a", Data: []byte(data)}); o != router.Delivered {
			t.Errorf("%d bytes are %v", len(data), o)
		}
	}
	endFeeding(e)
	c.wantMessage("x", small)
	c.wantMessage("x", large)
}

// A message is not delivered if the write that delivers it finds the connection
// broken.
func TestDeliverToBrokenSocket(t *testing.T) {
	n := start(t, nil)
	l, err := newLoop(1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	e := &epoll{node: n.Node, loops: []*loop{l}}
	s := newSession(n.Node, plain{}, &Identity{Client: "a"})
	w := &pollWire{engine: e, session: s, fd: int32(pair[0]), want: wantIn}
	s.wire = w
	n.table.add(s)
	e.running.Add(1)
	defer w.close()
	l.mu.Lock()
	err = l.addLocked(w.fd, w)
	l.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(pair[1])
	if o := s.Deliver(&router.Message{From: "x", To: "a", Data: []byte("1")}); o != router.Offline {
		t.Errorf("the message is %v, want offline", o)
	}
}

// Who reads all the time is no slow consumer, however much one read of the node
// leads to.
func TestPromptReaderOfManyAnswers(t *testing.T) {
	const answers = 300
	n, _ := startEpoll(t, func(o *Options, _ *localExchange) { o.MaxMessage, o.MaxQueue = 4<<10, 8<<10 })
	c := connect(t, n.Addr(), "c")
	var sends []byte
	for range answers {
		sends = append(sends, frame(ws.OpText, `{"type":"send","to":"nobody","data":1,"id":1}`)...)
	}
	go c.conn.Write(sends)
	for range answers {
		c.wantReceipt("1", "offline")
	}
}

// Whoever ends a feeding may find a session the moment that it is put off, and does not
// write to one without the mark: all that came for it later would wait for ever.
func TestSessionThatGathersIsMarkedAtOnce(t *testing.T) {
	n, e := startEpoll(t, nil)
	connect(t, n.Addr(), "a")
	a := n.session("a")
	e.gathering.begin()
	a.mu.Lock()
	w := a.wire.(*pollWire)
	if !e.gathering.putOff(w) || w.flags.Load()&wireGathered == 0 {
		t.Error("a session is put off without the mark")
	}
	a.mu.Unlock()
	endFeeding(e)
}
