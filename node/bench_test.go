package node

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func BenchmarkHead(b *testing.B) {
	request := []byte(upgradeHead("/ws?client=alice", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n", "Origin: https://example.org\r\n"))
	buf := make([]byte, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		h, err := readHead(bytes.NewReader(request), buf)
		if err != nil || h.parse() != nil {
			b.Fatal(err)
		}
	}
}

type nowhere struct{}

func (nowhere) accepts(ws.OpCode) bool          { return true }
func (nowhere) message(ws.OpCode, []byte) error { return nil }
func (nowhere) control(ws.OpCode, []byte) error { return nil }

func BenchmarkFrames(b *testing.B) {
	for name, size := range map[string]int{"128B": 128, "4KiB": 4 << 10} {
		b.Run(name, func(b *testing.B) {
			stream := frame(ws.OpText, strings.Repeat("x", size))
			work := make([]byte, len(stream))
			var f frames
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				copy(work, stream)
				if err := f.feed(work, limit, nowhere{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkJSON(b *testing.B) {
	text := []byte(`{"type":"send","to":"bob","data":{"text":"` + strings.Repeat("x", 100) + `","at":1700000000},"id":42}`)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var r request
		if err := r.parse(text); err != nil {
			b.Fatal(err.text())
		}
	}
}

func BenchmarkMessageFrame(b *testing.B) {
	m := &router.Message{
		ID: router.MessageID{Origin: 0xdeadbeef12345678, Count: 123456}, From: "alice", To: "bob",
		Data: []byte(`{"text":"` + strings.Repeat("x", 100) + `"}`),
	}
	var p plain
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendHeader(buf[:0], ws.OpText, p.messageSize(m))
		buf = p.appendMessage(buf, m)
	}
}

// BenchmarkDeliver is a message from the router's hands through a session's socket
// to its reader.
func BenchmarkDeliver(b *testing.B) {
	n := start(b, nil)
	c := connect(b, n.Addr(), "bob")
	c.conn.SetDeadline(time.Time{})
	m := &router.Message{
		ID: router.MessageID{Origin: 0xdeadbeef12345678, Count: 123456}, From: "alice", To: "bob",
		Data: []byte(`{"text":"` + strings.Repeat("x", 100) + `"}`),
	}
	s := n.session("bob")
	read := make([]byte, frameSize(plain{}.messageSize(m)))
	b.ReportAllocs()
	for b.Loop() {
		if s.Deliver(m) != router.Delivered {
			b.Fatal("not delivered")
		}
		if _, err := io.ReadFull(c.r, read); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReceive is a client's message from its socket to the router, which
// answers it.
func BenchmarkReceive(b *testing.B) {
	n := start(b, func(_ *Options, x *localExchange) { x.sink = make(chan struct{}, 1) })
	c := connect(b, n.Addr(), "alice")
	c.conn.SetDeadline(time.Time{})
	one := frame(ws.OpText, `{"type":"send","to":"bob","data":{"text":"`+strings.Repeat("x", 100)+`"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.conn.Write(one); err != nil {
			b.Fatal(err)
		}
		<-n.x.sink
	}
}

// BenchmarkConnect is a connection from its accept to its welcome, the client's
// side and its end included.
func BenchmarkConnect(b *testing.B) {
	n := start(b, nil)
	request := []byte(upgradeHead("/ws?client=alice"))
	answer := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", n.Addr())
		if err != nil {
			b.Fatal(err)
		}
		conn.Write(request)
		if _, err := conn.Read(answer); err != nil {
			b.Fatal(err)
		}
		conn.(*net.TCPConn).SetLinger(0) // or the ports run out
		conn.Close()
	}
}

// BenchmarkUpgrade is what a handshake costs behind the head.
func BenchmarkUpgrade(b *testing.B) {
	request := []byte(upgradeHead("/ws?client=alice", "Sec-WebSocket-Protocol: beeline.v1\r\n"))
	var response []byte
	b.ReportAllocs()
	for b.Loop() {
		h := head{raw: request}
		if h.parse() != nil || checkUpgrade(&h) != nil {
			b.Fatal("refused")
		}
		if client, err := clientOf(h.query); err != nil || client == "" {
			b.Fatal(err)
		}
		a := accept(&h, plainTraits.subprotocol)
		response = a.append(response[:0])
	}
}

// BenchmarkBesideOthers is Deliver while as much is sent to another client, which
// takes it or has stalled.
func BenchmarkBesideOthers(b *testing.B) {
	for _, other := range []string{"reads", "stalled"} {
		b.Run(other, func(b *testing.B) {
			n := start(b, func(o *Options, _ *localExchange) { o.SlowConsumer = DropOldest })
			c, beside := connect(b, n.Addr(), "bob"), connect(b, n.Addr(), "beside")
			c.conn.SetDeadline(time.Time{})
			beside.conn.SetDeadline(time.Time{})
			m := &router.Message{From: "alice", To: "bob", Data: []byte(`"` + strings.Repeat("x", 100) + `"`)}
			more := &router.Message{From: "alice", To: "beside", Data: []byte(`"` + strings.Repeat("x", 1000) + `"`), Droppable: true}
			s, t := n.session("bob"), n.session("beside")
			if other == "reads" {
				go io.Copy(io.Discard, beside.conn)
			} else {
				for testutil.ToFloat64(n.counts.drops[dropOldest]) == 0 {
					t.Deliver(more)
				}
			}
			read := make([]byte, frameSize(plain{}.messageSize(m)))
			b.ReportAllocs()
			for b.Loop() {
				t.Deliver(more)
				if s.Deliver(m) != router.Delivered {
					b.Fatal("not delivered")
				}
				if _, err := io.ReadFull(c.r, read); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
