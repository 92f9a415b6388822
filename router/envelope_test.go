package router

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenBatch holds one envelope of each kind and an acknowledgement.
func goldenBatch() []byte {
	b := appendHeader(nil, &header{
		from: "node-a", link: 0x1122334455667788, first: 7, base: 5,
		ack: ack{link: 0x99aabbccddeeff00, upTo: 300, exceptions: []exception{{298, refusedNotHere}, {299, refusedOverloaded}}},
	})
	b = appendBare(b, kindVoid)
	b = appendMessage(b, &Message{
		ID: MessageID{Origin: 0xcafe, Count: 513}, From: "alice", To: "bob", Data: []byte(`{"n":1}`),
		contentHash: 0x0102030405060708,
	}, flagFirst|flagReceipt|flagConfirm, 2, 1_700_000_000_000_000, 0xbe11e7ed)
	b = appendClaimed(b, "bob")
	b = appendReplaced(b, "bob", "token")
	b = appendReceipt(b, MessageID{Origin: 1, Count: 2}, Overloaded, "bob")
	return appendProbe(b, 1000)
}

// readBatch reads a batch without a MAC.
func readBatch(payload string) (h header, envelopes string, err error) {
	opened, err := newSigner(nil).open("", payload)
	if err != nil {
		return header{}, "", err
	}
	return readHeader(opened)
}

func TestBatchBytesStayAsTheyAre(t *testing.T) {
	file := filepath.Join("testdata", "batch.hex")
	got := hex.Dump(goldenBatch())
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("other nodes would read this differently:\n%s\nwant\n%s", got, want)
	}
}

func TestBatchIsReadAsWritten(t *testing.T) {
	h, rest, err := readBatch(string(goldenBatch()))
	if err != nil {
		t.Fatal(err)
	}
	if h.from != "node-a" || h.first != 7 || h.base != 5 || h.ack.upTo != 300 || len(h.ack.exceptions) != 2 {
		t.Errorf("header %+v", h)
	}
	if n, ok := wellFormed(rest); n != 6 || !ok {
		t.Fatalf("%d envelopes, well formed: %v", n, ok)
	}
	r := reader{rest: rest}
	wantKind(t, r.next(), kindVoid)
	e := r.next()
	wantKind(t, e, kindMessage)
	a, ok := e.message()
	if !ok || a.From != "alice" || a.To != "bob" || string(a.Data) != `{"n":1}` || a.hops != 2 ||
		a.flags != flagFirst|flagReceipt|flagConfirm || a.contentHash != 0x0102030405060708 ||
		a.accepted != 1_700_000_000_000_000 || a.ID != (MessageID{0xcafe, 513}) {
		t.Errorf("message %+v, %v", a, ok)
	}
	for _, k := range []kind{kindClaimed, kindReplaced, kindReceipt, kindProbe} {
		wantKind(t, r.next(), k)
	}
}

func wantKind(t *testing.T, e envelope, k kind) {
	t.Helper()
	if e.kind != k {
		t.Errorf("envelope of kind %d, want %d", e.kind, k)
	}
}

// A newer node may add fields to the header, to a body, and extensions.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	plain := string(appendHeader(nil, &header{from: "a", link: 1, first: 1, base: 1}))
	longer := plain[:2] + string([]byte{plain[2] + 3}) + plain[3:] + "new"
	h, _, err := readBatch(longer)
	if err != nil || h.from != "a" || h.base != 1 {
		t.Errorf("header with more fields: %+v, %v", h, err)
	}
	m := appendMessage(nil, &Message{From: "a", To: "b", Data: []byte("1")}, 0, 1, 1, 7)
	m[0] += 4 // tag, length, two bytes
	m = append(m, 200, 2, 'x', 'y')
	e := (&reader{rest: string(m)}).next()
	if a, ok := e.message(); !ok || string(a.Data) != "1" {
		t.Errorf("message with an extension: %+v, %v", a, ok)
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	good := goldenBatch()
	for name, payload := range map[string]string{
		"empty":             "",
		"another version":   "\x01" + string(good[1:]),
		"another seal":      "\x02\x02" + string(good[2:]),
		"MAC cut":           "\x02\x01" + string(good[2:17]),
		"cut in the header": string(good[:9]),
		"length too large":  "\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"too many numbers":  "\x02\x00" + strings.Repeat("\xff", 12),
		"no sender":         string(appendHeader(nil, &header{})),
	} {
		if _, _, err := readBatch(payload); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
	many := make([]exception, maxExceptions+1)
	if _, _, err := readBatch(string(appendHeader(nil, &header{from: "a", ack: ack{exceptions: many}}))); err == nil {
		t.Error("read more exceptions than a receiver can have")
	}
	if _, _, err := readBatch(string(appendHeader(nil, &header{from: "a", ack: ack{exceptions: many[1:]}}))); err != nil {
		t.Errorf("as many exceptions as a receiver can have: %v", err)
	}
	if _, ok := wellFormed("\x05ab"); ok {
		t.Error("a cut envelope is taken for well formed")
	}
	if _, ok := wellFormed("\x00"); ok {
		t.Error("an envelope without a kind is taken for well formed")
	}
}

// messagesWith returns batches of a message with each flag and all of them, with and
// without its extension, one of a newer node's before and behind it, and cut ones.
func messagesWith() (batches [][]byte) {
	m := Message{ID: MessageID{Origin: 0xcafe, Count: 513}, From: "alice", To: "bob", Data: []byte("1")}
	header := appendHeader(nil, &header{from: "a", link: 1, first: 1, base: 1})
	batch := func(more string, flags byte) {
		bare := appendMessage(nil, &m, flags, 1, 1_700_000_000_000_000, 0xbe11e7ed)
		bare[0] += byte(len(more)) // the envelope is shorter than 128 bytes
		batches = append(batches, slices.Concat(header, bare, []byte(more)))
	}
	const all = flagFirst | flagReceipt | flagConfirm | flagDroppable | flagDelivered
	for _, flags := range []byte{0, flagFirst, flagReceipt, flagConfirm, flagDroppable, flagDelivered, all, 0xff} {
		batch("", flags)
	}
	const content, newer = "\x01\x0812345678", "\xc8\x02xy"
	for _, more := range []string{content, newer, newer + content, content + newer, content + content, "\x01\x03123", "\x01\x00", content[:5]} {
		batch(more, all)
	}
	return batches
}

// Only a message that is cut is refused, and what its flags ask for is read.
func TestFlagsAndExtensionsAreRead(t *testing.T) {
	batches := messagesWith()
	for i, batch := range batches {
		_, rest, err := readBatch(string(batch))
		if err != nil {
			t.Fatal(err)
		}
		a, ok := (&reader{rest: rest}).next().message()
		if cut := i == len(batches)-1; ok == cut || a.From != "alice" || string(a.Data) != "1" {
			t.Errorf("%x is read as %+v, %v", batch, a, ok)
		}
		if a.Confirm != (a.flags&flagConfirm != 0) || a.Droppable != (a.flags&flagDroppable != 0) || (a.since != 0) != (a.flags&flagDelivered != 0) {
			t.Errorf("flags %b are read as %+v", a.flags, a)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add(goldenBatch())
	for _, batch := range messagesWith() {
		f.Add(batch)
	}
	f.Add([]byte(`{"to":"bob","from":"x","data":1}`))
	f.Add([]byte{1, 0})
	f.Add([]byte{2, 0, 0})
	keyed := newSigner([]ClusterKey{newKey()})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := keyed.open("ch", string(payload)); err == nil {
			t.Fatal("it was opened with a key that it was not signed with")
		}
		h, rest, err := readBatch(string(payload))
		if err != nil {
			return
		}
		n, ok := wellFormed(rest)
		if !ok {
			return
		}
		for r := (reader{rest: rest}); r.rest != ""; n-- {
			e := r.next()
			if a, ok := e.message(); ok && e.kind == kindMessage {
				again := appendMessage(nil, &a.Message, a.flags, a.hops, a.accepted, a.believed)
				b, ok := (&reader{rest: string(again)}).next().message()
				if !ok || !bytes.Equal(b.Data, a.Data) {
					t.Fatalf("%+v became %+v", a, b)
				}
				a.Data, b.Data = nil, nil
				if !reflect.DeepEqual(a, b) {
					t.Fatalf("%+v became %+v", a, b)
				}
			}
		}
		if n != 0 {
			t.Fatalf("%d envelopes were counted but not read", n)
		}
		again, _, err := readBatch(string(appendHeader(nil, &h)))
		if err != nil || again.from != h.from || again.ack.upTo != h.ack.upTo || len(again.ack.exceptions) != len(h.ack.exceptions) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
