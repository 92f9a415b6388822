package router

import (
	"strings"
	"testing"
)

var benchMessage = Message{ID: MessageID{1, 2}, From: "alice", To: "bob", Data: []byte(`"` + strings.Repeat("x", 100) + `"`)}

func BenchmarkEnvelopeWrite(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = appendMessage(buf[:0], &benchMessage, flagReceipt, 1, 1_700_000_000_000_000, 1)
	}
}

func BenchmarkEnvelopeRead(b *testing.B) {
	b.ReportAllocs()
	payload := string(appendMessage(appendHeader(nil, &header{from: "n1", link: 1, first: 1, base: 1}), &benchMessage, 0, 1, 1, 0))
	for b.Loop() {
		_, rest, err := readHeader(payload)
		if err != nil {
			b.Fatal(err)
		}
		r := reader{rest: rest}
		if _, ok := r.next().message(); !ok {
			b.Fatal("not read")
		}
	}
}

func BenchmarkRecent(b *testing.B) {
	b.ReportAllocs()
	w := newRecent()
	for i := uint64(0); b.Loop(); i++ {
		if id := (MessageID{1, i}); !w.has(id) {
			w.add(id)
		}
	}
}

// BenchmarkSend measures a message from Send to its receipt, with 512 under way.
func BenchmarkSend(b *testing.B) {
	for _, d := range deliveries {
		b.Run(string(d), func(b *testing.B) { benchSend(b, d, 1) })
	}
	b.Run("local", func(b *testing.B) { benchSend(b, Targeted, 0) })
}

func benchSend(b *testing.B, d Delivery, owner int) {
	b.ReportAllocs()
	c := newCluster(b, 2, func(o *Options) { o.Delivery = d })
	bob := newBenchSession(b, c.node(owner))
	slots := make(chan struct{}, 512)
	m := Message{From: "alice", To: bob, Data: benchMessage.Data}
	for b.Loop() {
		slots <- struct{}{}
		c.node(0).Send(m, func(MessageID, Outcome) { <-slots })
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
}

// sink is a session that forgets.
type sink struct{}

func (sink) Deliver(*Message) Outcome { return Delivered }
func (sink) Evict(error)              {}

func newBenchSession(b *testing.B, n *testNode) string {
	if err := n.Join(b.Context(), "bob", sink{}); err != nil {
		b.Fatal(err)
	}
	return "bob"
}
