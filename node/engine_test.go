package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// roomy lets a session's queue hold what its socket does not take.
func roomy(o *Options, _ *localExchange) { o.MaxQueue, o.MaxQueueTotal = 64<<20, 128<<20 }

// openNarrow opens a session whose client's socket takes little.
func openNarrow(t *testing.T, n *rig, name string) *client {
	t.Helper()
	c := open(t, n.Addr(), name)
	c.conn.(*net.TCPConn).SetReadBuffer(4096)
	return c
}

// block sends to c until something waits that its socket does not take.
func block(t *testing.T, n *rig, from, to *client) (sent int) {
	t.Helper()
	data := strings.Repeat("x", 60000)
	for n.queued.Load() < 1<<20 {
		from.send(to.name, fmt.Sprintf(`"%d%s"`, sent, data), `1`)
		from.wantReceipt("1", "delivered")
		sent++
	}
	return sent
}

func TestSlowReaderGetsAll(t *testing.T) {
	n := start(t, roomy)
	by := n.bystanders()
	slow := open(t, n.Addr(), "slow")
	sent := block(t, n, by.from, slow)
	by.wantUndisturbed()
	slow.want(ws.OpText, `{"type":"welcome"`)
	data := strings.Repeat("x", 60000)
	for i := range sent {
		slow.wantMessage("by-sender", fmt.Sprintf(`"%d%s"`, i, data))
	}
	eventually(t, "nothing waits", func() bool { return n.queued.Load() == 0 })
	by.from.send("slow", "1", "")
	slow.wantMessage("by-sender", "1")
}

func TestReaderThatStalls(t *testing.T) {
	n := start(t, func(o *Options, x *localExchange) {
		roomy(o, x)
		o.PingInterval, o.PongTimeout = time.Hour, time.Second
	})
	by := n.bystanders()
	openNarrow(t, n, "stalls")
	data := `"` + strings.Repeat("x", 60000) + `"`
	for n.queued.Load() < 1<<20 && n.x.members("stalls") == 1 { // a slow machine takes longer than PongTimeout
		by.from.send("stalls", data, "1")
		by.from.want(ws.OpText, `{"type":"receipt"`)
	}
	eventually(t, "it was cut off", func() bool { return len(n.table.snapshot(nil)) == 2 && n.queued.Load() == 0 })
	if got := testutil.ToFloat64(n.counts.closes[closedSlow]); got != 1 {
		t.Errorf("%v closed as slow consumers, want 1", got)
	}
	by.wantUndisturbed()
}

func TestBlockedSessionThatBreaks(t *testing.T) {
	n := start(t, roomy)
	by := n.bystanders()
	c := openNarrow(t, n, "breaks")
	block(t, n, by.from, c)
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	eventually(t, "it ended and its queue is gone", func() bool {
		return len(n.table.snapshot(nil)) == 2 && n.queued.Load() == 0
	})
	by.wantUndisturbed()
}

func TestFramesByteByByte(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "slow")
	stream := append(frame(ws.OpPing, "abc"), rawFrame(1, true, `{"type":"send","to":"slow",`)...)
	stream = append(stream, frame(ws.OpContinuation, `"data":"é"}`)...)
	for i := range stream {
		c.write(stream[i : i+1])
	}
	c.want(ws.OpPong, "abc")
	c.wantMessage("slow", `"é"`)
	if s := n.session("slow"); s == nil {
		t.Fatal("no session")
	}
}

// What comes in one read is answered together, in order.
func TestManyMessagesAtOnce(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "eager")
	var stream []byte
	for i := range 200 {
		stream = append(stream, frame(ws.OpText, fmt.Sprintf(`{"type":"send","to":"eager","data":%d,"id":%d}`, i, i))...)
	}
	c.write(stream)
	for i := range 200 {
		c.wantMessage("eager", fmt.Sprint(i))
		c.wantReceipt(fmt.Sprint(i), "delivered")
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	const clients = 300
	n := start(t, func(o *Options, _ *localExchange) { o.MaxHandshakes = 16 })
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			conn, err := net.Dial("tcp", n.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			io.WriteString(conn, upgradeHead(fmt.Sprint("/ws?client=c", i))+string(frame(ws.OpText, `{"type":"ping"}`)))
			r := bufio.NewReader(conn)
			answer, err := http.ReadResponse(r, nil)
			if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
				t.Errorf("%v, %v", answer, err)
				return
			}
			for _, want := range []string{`{"type":"welcome"`, `{"type":"pong"}`} {
				h, err := ws.ReadHeader(r)
				payload := make([]byte, h.Length)
				if _, err2 := io.ReadFull(r, payload); err != nil || err2 != nil || !strings.HasPrefix(string(payload), want) {
					t.Errorf("%q, %v, %v; want %s", payload, err, err2, want)
				}
			}
		})
	}
	all.Wait()
	eventually(t, "all are gone", func() bool { return n.table.size() == 0 })
	n.wantCount(n.counts.connects, resultWelcomed, clients)
}

func TestStopWithinHandshakes(t *testing.T) {
	joining, proceed := make(chan struct{}, 10), make(chan struct{})
	n := start(t, func(_ *Options, x *localExchange) {
		x.joinError = func(string) error { joining <- struct{}{}; <-proceed; return nil }
	})
	for i := range 10 {
		io.WriteString(dial(t, n.Addr()), upgradeHead("/ws?client=a")[:20+i])
		io.WriteString(dial(t, n.Addr()), upgradeHead("/ws?client=a"))
	}
	for range 10 {
		<-joining
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop(t, n.Node)
	}()
	<-n.handshakes.ctx.Done()
	close(proceed)
	<-stopped
	if n.table.size() != 0 || n.x.members("a") != 0 {
		t.Errorf("%d sessions are left, %d in the router", n.table.size(), n.x.members("a"))
	}
}

// Sessions that do their worst, all within what they are allowed to.
func TestAbusersDisturbNobody(t *testing.T) {
	n := start(t, func(o *Options, x *localExchange) {
		roomy(o, x)
		o.MaxMessage = 4 << 20
	})
	by := n.bystanders()
	block(t, n, by.from, openNarrow(t, n, "deaf"))
	fragments := connect(t, n.Addr(), "fragments")
	bytewise := connect(t, n.Addr(), "bytewise")
	const size = 1 << 20
	text := `{"type":"send","to":"fragments","data":"`
	rest := `"}`
	var abuse sync.WaitGroup
	abuse.Go(func() {
		fragments.conn.Write(rawFrame(1, true, text+strings.Repeat("x", size)))
		fragments.conn.Write(rawFrame(0, true, strings.Repeat("x", size)))
		fragments.conn.Write(frame(ws.OpContinuation, rest))
	})
	abuse.Go(func() {
		for _, part := range []struct {
			first byte
			text  string
		}{{1, `{"type":"send","to":"bytewise",`}, {0, ""}, {0x80, `"data":1}`}} {
			for _, b := range rawFrame(part.first, true, part.text) {
				bytewise.conn.Write([]byte{b})
			}
		}
	})
	for range 50 {
		by.wantUndisturbed()
	}
	abuse.Wait()
	fragments.wantMessage("fragments", `"`+strings.Repeat("x", 2*size)+`"`)
	bytewise.wantMessage("bytewise", "1")
	by.wantUndisturbed()
}
