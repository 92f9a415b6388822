package link

import (
	"strings"
	"testing"
	"unsafe"
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

// BenchmarkLink measures a frame from Push to its result, 32 in a batch, and its reception.
func BenchmarkLink(b *testing.B) {
	b.ReportAllocs()
	lives := NewLives(func() uint64 { return 0 })
	from, to := New(storyBegin, worldOptions(lives)), New(storyBegin, worldOptions(NewLives(lives.chance)))
	p, none := &benchPayload{}, func(Payload) bool { return false }
	var batch, answer []byte
	var settled []Settled
	now := storyBegin
	for i := 1; b.Loop(); i++ {
		from.Push(now, Frame{Payload: p, Size: 100})
		if i%ackFrames != 0 {
			continue
		}
		now = now.Add(1000)
		var sent, answered Batch
		batch, sent, _ = from.Batch(now, Header{From: "n1"}, batch[:0])
		from.Published(now, &sent, 1, false)
		h, _, n, _ := readBench(batch)
		skip, _ := to.Receive(now, &h, n, MaxRefused)
		to.Received(now, &h, n, skip, len(batch), nil, PromptAck)
		answer, answered, _ = to.Batch(now, Header{From: "n2"}, answer[:0])
		to.Published(now, &answered, 1, false)
		h, _, _, _ = readBench(answer)
		settled, _ = from.Acknowledge(now, h.Ack, none, settled[:0])
		if len(settled) != ackFrames {
			b.Fatalf("%d frames are settled: %s", len(settled), from)
		}
	}
}

type benchPayload struct{}

func (*benchPayload) Append(b []byte, _ *Frame) ([]byte, Kind) {
	return AppendMessage(b, &benchMessage), KindMessage
}

// readBench reads a batch that is not copied.
func readBench(b []byte) (Header, Envelopes, int, error) {
	return ReadHeader(unsafe.String(&b[sealBegin], len(b)-sealBegin))
}
