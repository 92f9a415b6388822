package link

import (
	"strings"
	"testing"
)

var benchMessage = Message{
	ID: MessageID{1, 2}, From: "alice", To: "bob", Data: []byte(`"` + strings.Repeat("x", 100) + `"`),
	Flags: FlagReceipt, Hops: 1, Accepted: 1_700_000_000_000_000, Owners: 1,
}

func BenchmarkEnvelopeWrite(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = AppendMessage(buf[:0], &benchMessage)
	}
}

func BenchmarkEnvelopeRead(b *testing.B) {
	b.ReportAllocs()
	payload := string(AppendMessage(AppendHeader(nil, &Header{From: "n1", Life: 1, First: 1, Base: 1}), &benchMessage))
	for b.Loop() {
		_, e, _, err := readBatch(payload)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := e.Next().Message(); !ok {
			b.Fatal("not read")
		}
	}
}
