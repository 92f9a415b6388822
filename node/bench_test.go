package node

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"

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

func (nowhere) message([]byte) error            { return nil }
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
