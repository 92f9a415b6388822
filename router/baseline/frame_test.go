package baseline

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func batchOf(frames ...func([]byte) []byte) []byte {
	h := header{"n1", 7}
	b := h.append(nil)
	for _, f := range frames {
		b = f(b)
	}
	return b
}

func aMessage(m router.Message) func([]byte) []byte {
	return func(b []byte) []byte { return appendMessage(b, &m, 1234567890) }
}

// FuzzBatch has whatever comes from Redis read, without a panic; what was written is read as it was,
// and what reads well is written the same again.
func FuzzBatch(f *testing.F) {
	m := router.Message{ID: router.MessageID{Origin: 7, Count: 300}, From: "alice", To: "bob", Data: []byte(`{"x":1}`), Receipt: true}
	f.Add(batchOf(aMessage(m)))
	f.Add(batchOf((&receipt{300, router.Delivered, "bob"}).append, aMessage(m)))
	f.Add(batchOf())
	f.Add([]byte{frameVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, frames, err := readHeader(string(payload))
		if err != nil {
			return
		}
		for again := h.append(nil); frames != ""; {
			k, body, rest, ok := readFrame(frames)
			if !ok {
				return
			}
			if len(rest) >= len(frames) {
				t.Fatal("a frame has no length")
			}
			frames = rest
			again = again[:0]
			switch k {
			case kindMessage:
				to, fields, ok := readTo(body)
				a := arrival{}
				if a.To = to; !ok || !a.read(fields, h.origin) || a.accepted < 0 {
					continue
				}
				again = appendMessage(again, &a.Message, a.accepted)
				b := arrival{}
				_, body, _, _ := readFrame(string(again))
				to, fields, _ = readTo(body)
				if b.To = to; !b.read(fields, h.origin) || b.To != a.To || b.From != a.From || b.ID != a.ID || b.accepted != a.accepted ||
					b.Receipt != a.Receipt || b.Confirm != a.Confirm || b.Droppable != a.Droppable || !bytes.Equal(b.Data, a.Data) {
					t.Fatalf("%+v was read again as %+v", a, b)
				}
			case kindReceipt:
				var x, y receipt
				if !x.read(body) {
					continue
				}
				_, body, _, _ := readFrame(string(x.append(again)))
				if !y.read(body) || x != y {
					t.Fatalf("%+v was read again as %+v", x, y)
				}
			}
		}
	})
}

// What can't be read is dropped and counted by its reason; what stands before it is taken.
func TestWhatCantBeReadIsDropped(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, nil).node(0)
	bob := n.connect("bob")
	good := aMessage(router.Message{From: "alice", To: "bob", Data: []byte("1")})
	for _, c := range []struct {
		name    string
		payload []byte
		reason  string
	}{
		{"nothing", nil, dropVersion},
		{"JSON", []byte(`{"to":"bob"}`), dropVersion},
		{"another version", append([]byte{frameVersion + 1}, batchOf(good)[1:]...), dropVersion},
		{"a header cut short", batchOf(good)[:5], dropMalformed},
		{"a node's name too long", (&header{strings.Repeat("n", maxNodeID+1), 7}).append(nil), dropMalformed},
		{"another kind", batchOf(func(b []byte) []byte { return appendString(append(b, byte(kinds)), "x") }), dropUnknownKind},
		{"a frame cut short", batchOf(good, func(b []byte) []byte { return append(b, byte(kindMessage), 100, 1) }), dropMalformed},
		{"an address too long", batchOf(aMessage(router.Message{To: strings.Repeat("b", router.MaxAddress+1)})), dropMalformed},
		{"a sender too long", batchOf(aMessage(router.Message{To: "bob", From: strings.Repeat("a", router.MaxAddress+1)})), dropMalformed},
		{"a message without its fields", batchOf(func(b []byte) []byte { return append(b, byte(kindMessage), 4, 3, 'b', 'o', 'b') }), dropMalformed},
		{"a receipt that nobody gives", batchOf((&receipt{1, router.Published, "bob"}).append), dropMalformed},
		{"a receipt of no outcome", batchOf((&receipt{1, 200, "bob"}).append), dropMalformed},
	} {
		count := func() float64 { return testutil.ToFloat64(n.m.Router.DroppedEnvelopes.WithLabelValues(c.reason)) }
		before := count()
		n.handle(string(c.payload))
		if got := count() - before; got != 1 {
			t.Errorf("%s is dropped %v times as %s, want once", c.name, got, c.reason)
		}
	}
	bob.wantGot("1") // of the batch with a frame cut short
}
