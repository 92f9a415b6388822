package node

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func TestClientThatNeverReads(t *testing.T) {
	n := start(t, nil)
	by := n.bystanders()
	deaf := open(t, n.Addr(), "deaf")
	deaf.conn.(*net.TCPConn).SetReadBuffer(4096)
	data := `"` + strings.Repeat("x", 60000) + `"`
	for outcome := ""; outcome != "overloaded"; {
		by.from.send("deaf", data, "2")
		got := by.from.want(ws.OpText, `{"type":"receipt","id":2,"outcome":"`)
		outcome = strings.Split(got, `"`)[9]
	}
	by.wantUndisturbed()
	n.wantCount(n.counts.drops, dropSlow, 1)
	eventually(t, "it left", func() bool { return n.x.members("deaf") == 0 })
	by.from.send("deaf", "1", "3")
	by.from.wantReceipt("3", "offline")
	eventually(t, "it was cut off and its queue is gone", func() bool {
		return len(n.table.snapshot(nil)) == 2 && n.queued.Load() == 0
	})
	if got := testutil.ToFloat64(n.counts.closes[closedSlow]); got != 1 {
		t.Errorf("%v closed as slow consumers, want 1", got)
	}
}

func TestSlowConsumerIsToldWhy(t *testing.T) {
	n := start(t, nil)
	by := n.bystanders()
	data := `"` + strings.Repeat("x", 60000) + `"`
	for deadline := time.Now().Add(patience); ; {
		slow, began := open(t, n.Addr(), "slow"), time.Now()
		for n.x.members("slow") == 1 {
			by.from.send("slow", data, "")
		}
		op, text, err := slow.next()
		for err == nil && op != ws.OpClose {
			op, text, err = slow.next()
		}
		if err == nil {
			if text[:2] != "\x03\xf0" { // 1008, policy violation
				t.Errorf("closed with %q", text)
			}
			slow.conn.Write(frame(ws.OpClose, text[:2]))
			slow.wantEnd()
			break
		}
		if time.Since(began) < closeGrace || time.Now().After(deadline) {
			t.Fatalf("%v before a close frame", err)
		} // else the machine stood still for so long that it was cut: once more
	}
	by.wantUndisturbed()
}

// Clients that never end their messages keep nobody from sending long ones.
func TestIncompleteMessagesAreBounded(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxQueueTotal = 512 << 10 })
	by := n.bystanders()
	var hogs []*client
	for i := 0; testutil.ToFloat64(n.counts.closes[closedIncomplete]) < 3; i++ {
		hogs = append(hogs, connect(t, n.Addr(), fmt.Sprint("hog", i)))
		hogs[i].write(rawFrame(1, true, `{"data":"`+strings.Repeat("x", 60000)))
		by.wantUndisturbed()
	}
	data := `"` + strings.Repeat("y", 60000) + `"`
	text := `{"type":"send","to":"by-stander","id":"long","data":` + data + `}`
	by.from.write(rawFrame(1, true, text[:40000]))
	by.from.write(frame(ws.OpContinuation, text[40000:]))
	by.to.wantMessage("by-sender", data)
	by.from.wantReceipt(`"long"`, "delivered")
	for _, c := range hogs {
		c.conn.Close()
	}
	eventually(t, "nothing is kept", func() bool {
		n.incoming.mu.Lock()
		defer n.incoming.mu.Unlock()
		if n.incoming.total > n.incoming.limit {
			t.Fatalf("%d bytes are kept", n.incoming.total)
		}
		return n.incoming.total == 0 && n.incoming.first == nil && n.incoming.last == nil
	})
}

// Whoever sends its messages to their ends is not closed for those who don't, also if its
// own are larger, and one follows the other without a gap.
func TestLongMessagesPassOlderIncompleteOnes(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxQueueTotal = 512 << 10 })
	by := n.bystanders()
	data := `"` + strings.Repeat("y", 50000) + `"`
	text := `{"type":"send","to":"by-stander","id":"long","data":` + data + `}`
	begin := rawFrame(1, true, text[:40000])
	by.from.write(begin)
	n.wantKept("by-sender", 40000)
	for i := 0; testutil.ToFloat64(n.counts.closes[closedIncomplete]) < 3; i++ {
		hog := fmt.Sprint("hog", i)
		connect(t, n.Addr(), hog).write(rawFrame(1, true, strings.Repeat(" ", 10000)))
		n.wantKept(hog, 10000)
		by.from.write(append(frame(ws.OpContinuation, text[40000:]), begin...))
		by.to.wantMessage("by-sender", data)
		by.from.wantReceipt(`"long"`, "delivered")
	}
}

// wantKept waits until so many bytes of a client's message are kept, or it is closed.
func (n *rig) wantKept(client string, size int) {
	eventually(n.t, "a part of a message is kept", func() bool {
		in := &n.incoming
		in.mu.Lock()
		defer in.mu.Unlock()
		for f := in.first; f != nil; f = f.kept.next {
			if s := f.kept.session; s.client == client && f.kept.size >= size {
				return true
			}
		}
		return testutil.ToFloat64(n.counts.closes[closedIncomplete]) >= 3
	})
}

func TestFloodingClient(t *testing.T) {
	const sends = 5000
	n := start(t, func(_ *Options, x *localExchange) {
		x.hold = func(m router.Message) bool { return m.From == "flood" }
	})
	by := n.bystanders()
	flood := connect(t, n.Addr(), "flood")
	one := frame(ws.OpText, `{"type":"send","to":"by-stander","data":1}`)
	written := make(chan error, 1)
	go func() {
		for range sends {
			if _, err := flood.conn.Write(one); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	eventually(t, "it is not read any more", func() bool { return n.session("flood").inFlight.paused() && n.x.holding() > maxInFlight })
	by.wantUndisturbed()
	if held, most := n.x.holding(), maxInFlight+readBudget/len(one)+2; held > most {
		t.Errorf("%d messages in flight, want at most %d", held, most)
	}
	n.x.release()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	flood.say(`{"type":"ping"}`)
	flood.want(ws.OpText, `{"type":"pong"}`)
	if f := &n.session("flood").inFlight; f.counts.Load() != 0 || f.bytes.Load() != 0 {
		t.Errorf("%d messages of %d bytes in flight, want none", f.messages(), f.bytes.Load())
	}
}

func (n *Node) session(client string) *session {
	for _, s := range n.table.snapshot(nil) {
		if s.client == client {
			return s
		}
	}
	return nil
}

func TestFloodingClientThatNeverReads(t *testing.T) {
	n := start(t, nil)
	by := n.bystanders()
	flood := open(t, n.Addr(), "flood")
	defer flood.repeat(frame(ws.OpPing, strings.Repeat("x", 125)))()
	by.wantUndisturbed()
	eventually(t, "it is gone", func() bool { return n.table.size() == 2 && n.queued.Load() == 0 })
	by.wantUndisturbed()
}

// repeat has c write b again and again until the result is called. Its kernel may not
// notice that the node has hung up, if its buffers are full.
func (c *client) repeat(b []byte) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := c.conn.Write(b); err != nil {
				return
			}
		}
	}()
	return func() {
		c.conn.Close()
		<-ended
	}
}

func TestHalfOpenConnection(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) {
		o.PingInterval, o.PongTimeout = 50*time.Millisecond, 100*time.Millisecond
	})
	by := n.bystanders()
	answering := make(chan struct{})
	go func() { // answers pings
		defer close(answering)
		by.to.next()
	}()
	silent := connect(t, n.Addr(), "silent")
	h, err := ws.ReadHeader(silent.r)
	if err != nil || h.OpCode != ws.OpPing {
		t.Fatalf("got %v, %v; want a ping", h, err)
	}
	silent.wantClose(ws.StatusGoingAway)
	if got := testutil.ToFloat64(n.counts.closes[closedPingTimeout]); got == 0 {
		t.Error("the timeout is not counted")
	}
	fresh := connect(t, n.Addr(), "fresh")
	fresh.send("by-stander", "1", "")
	<-answering
	eventually(t, "the silent ones left", func() bool { return n.x.members("silent") == 0 })
}

func TestConnectionThatBreaks(t *testing.T) {
	n := start(t, nil)
	by := n.bystanders()
	c := connect(t, n.Addr(), "broken")
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	eventually(t, "it left", func() bool { return n.x.members("broken") == 0 })
	c = connect(t, n.Addr(), "half")
	c.write(frame(ws.OpText, `{"type":"ping"}`)[:5])
	c.conn.(*net.TCPConn).CloseWrite()
	io.Copy(io.Discard, c.r)
	eventually(t, "it left", func() bool { return n.x.members("half") == 0 })
	if got := testutil.ToFloat64(n.counts.closes[closedNetwork]); got != 2 {
		t.Errorf("%v closed by the network, want 2", got)
	}
	by.wantUndisturbed()
}

func TestEviction(t *testing.T) {
	n := start(t, nil)
	for reason, want := range map[error]struct {
		bye  string
		code ws.StatusCode
	}{router.ErrReplaced: {"replaced", codeReplaced}, router.ErrLost: {"lease_lost", codeLeaseLost}} {
		c := connect(t, n.Addr(), "victim")
		n.x.mu.Lock() // as the router may hold its own lock
		n.x.sessions["victim"][0].Evict("victim", reason)
		n.x.mu.Unlock()
		c.want(ws.OpText, `{"type":"bye","reason":"`+want.bye+`"`)
		c.wantClose(want.code)
		eventually(t, "it left", func() bool { return n.x.members("victim") == 0 })
	}
}
