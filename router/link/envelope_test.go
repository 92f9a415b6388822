package link

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// goldenBatch holds one envelope of each kind and an acknowledgement with nacks.
func goldenBatch(sealed bool) []byte {
	b := AppendHeader(nil, &Header{
		From: "node-a", Life: 0x1122334455667788, First: 7, Base: 5, Sealed: sealed,
		Ack: Ack{Life: 0x99aabbccddeeff00, UpTo: 300, Nacks: []Nack{{298, NackNotHere}, {299, NackOverloaded}}},
	})
	b = AppendBare(b, KindVoid)
	b = AppendMessage(b, &Message{
		ID: MessageID{Origin: 0xcafe, Count: 513}, From: "alice", To: "bob", Data: []byte(`{"n":1}`),
		Flags: FlagFirst | FlagReceipt | FlagConfirm, Hops: 2, Accepted: 1_700_000_000_000_000, Owners: 0xbe11e7ed,
		ContentHash: 0x0102030405060708,
	})
	b = AppendClaimed(b, "bob")
	b = AppendReplaced(b, "bob", "token")
	b = AppendReceipt(b, MessageID{Origin: 1, Count: 2}, 2, "bob")
	return AppendProbe(b, 1000)
}

// goldenBatches are batches whose bytes other nodes know, by their files.
func goldenBatches() map[string][]byte {
	rest := AppendHeader(nil, &Header{From: "node-b", Ack: Ack{Life: 1, UpTo: 3, Nacks: []Nack{{2, NackJoining}, {3, NackStale}}}})
	rest = AppendBare(rest, KindPruned)
	rest = AppendWithdrawn(rest, MessageID{Origin: 0xcafe, Count: 513})
	rest = AppendMessage(rest, &Message{From: "a", To: "b", Data: []byte("1"), Flags: FlagDroppable | FlagDelivered})
	sealed := goldenBatch(true)
	NewSigner([][]byte{[]byte("a key that is 32 bytes long, yes")}).Sign("beeline:ch:node-b", sealed)
	return map[string][]byte{"batch.hex": goldenBatch(false), "rest.hex": rest, "sealed.hex": sealed}
}

// readBatch reads a batch without a MAC.
func readBatch(payload string) (h Header, e Envelopes, n int, err error) {
	opened, err := NewSigner[[]byte](nil).Open("", payload)
	if err != nil {
		return h, "", 0, err
	}
	return ReadHeader(opened)
}

func TestBatchBytesStayAsTheyAre(t *testing.T) {
	for name, batch := range goldenBatches() {
		file := filepath.Join("testdata", name)
		got := hex.Dump(batch)
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
			t.Errorf("%s: other nodes would read this differently:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestBatchIsReadAsWritten(t *testing.T) {
	h, e, n, err := readBatch(string(goldenBatch(false)))
	if err != nil {
		t.Fatal(err)
	}
	if h.From != "node-a" || h.Life != 0x1122334455667788 || h.First != 7 || h.Base != 5 || h.Ack.UpTo != 300 || len(h.Ack.Nacks) != 2 {
		t.Errorf("header %+v", h)
	}
	if n != 6 {
		t.Fatalf("%d envelopes", n)
	}
	wantKind(t, e.Next(), KindVoid)
	next := e.Next()
	wantKind(t, next, KindMessage)
	m, ok := next.Message()
	if !ok || m.From != "alice" || m.To != "bob" || string(m.Data) != `{"n":1}` || m.Hops != 2 || m.Owners != 0xbe11e7ed ||
		m.Flags != FlagFirst|FlagReceipt|FlagConfirm || m.ContentHash != 0x0102030405060708 ||
		m.Accepted != 1_700_000_000_000_000 || m.ID != (MessageID{0xcafe, 513}) {
		t.Errorf("message %+v, %v", m, ok)
	}
	claimed := e.Next()
	wantKind(t, claimed, KindClaimed)
	replaced := e.Next()
	wantKind(t, replaced, KindReplaced)
	address, token := replaced.Replaced()
	if claimed.Claimed() != "bob" || address != "bob" || token != "token" {
		t.Errorf("claimed %q, replaced %q of %q", claimed.Claimed(), address, token)
	}
	receipt := e.Next()
	wantKind(t, receipt, KindReceipt)
	if id, outcome, client, ok := receipt.Receipt(); id != (MessageID{1, 2}) || outcome != 2 || client != "bob" || !ok {
		t.Errorf("receipt %v %d %q, %v", id, outcome, client, ok)
	}
	probe := e.Next()
	wantKind(t, probe, KindProbe)
	if probe.Probe() != 1000 || e != "" {
		t.Errorf("probe %d; %q is left", probe.Probe(), e)
	}
}

func wantKind(t *testing.T, e Envelope, k Kind) {
	t.Helper()
	if e.Kind != k {
		t.Errorf("envelope of kind %s, want %s", e.Kind, k)
	}
}

// A newer node may add fields to the header, to a body, and extensions.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	plain := string(AppendHeader(nil, &Header{From: "a", Life: 1, First: 1, Base: 1}))
	longer := plain[:2] + string([]byte{plain[2] + 3}) + plain[3:] + "new"
	h, _, _, err := readBatch(longer)
	if err != nil || h.From != "a" || h.Base != 1 {
		t.Errorf("header with more fields: %+v, %v", h, err)
	}
	m := AppendMessage(nil, &Message{From: "a", To: "b", Data: []byte("1"), Hops: 1, Accepted: 1, Owners: 7})
	m[0] += 4 // tag, length, two bytes
	m = append(m, 200, 2, 'x', 'y')
	e := Envelopes(m)
	if got, ok := e.Next().Message(); !ok || string(got.Data) != "1" {
		t.Errorf("message with an extension: %+v, %v", got, ok)
	}
}

func TestHeadersThatAreRefused(t *testing.T) {
	good := goldenBatch(false)
	for name, payload := range map[string]string{
		"empty":             "",
		"another version":   "\x01" + string(good[1:]),
		"another seal":      "\x02\x02" + string(good[2:]),
		"MAC cut":           "\x02\x01" + string(good[2:17]),
		"cut in the header": string(good[:9]),
		"length too large":  "\x02\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"too many numbers":  "\x02\x00" + strings.Repeat("\xff", 12),
		"no sender":         string(AppendHeader(nil, &Header{})),
	} {
		if _, _, _, err := readBatch(payload); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
	many := make([]Nack, maxNacks+1)
	if _, _, _, err := readBatch(string(AppendHeader(nil, &Header{From: "a", Ack: Ack{Nacks: many}}))); err == nil {
		t.Error("read more exceptions than a receiver can have")
	}
	if _, _, _, err := readBatch(string(AppendHeader(nil, &Header{From: "a", Ack: Ack{Nacks: many[1:]}}))); err != nil {
		t.Errorf("as many exceptions as a receiver can have: %v", err)
	}
	header := string(AppendHeader(nil, &Header{From: "a"}))
	for what, envelopes := range map[string]string{"a cut envelope": "\x05ab", "an envelope without a kind": "\x00"} {
		if _, _, _, err := readBatch(header + envelopes); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// messagesWith returns batches of a message with each flag and all of them, with and
// without its extension, one of a newer node's before and behind it, and cut ones.
func messagesWith() (batches [][]byte) {
	m := Message{
		ID: MessageID{Origin: 0xcafe, Count: 513}, From: "alice", To: "bob", Data: []byte("1"),
		Hops: 1, Accepted: 1_700_000_000_000_000, Owners: 0xbe11e7ed,
	}
	header := AppendHeader(nil, &Header{From: "a", Life: 1, First: 1, Base: 1})
	batch := func(more string, flags byte) {
		m.Flags = flags
		bare := AppendMessage(nil, &m)
		bare[0] += byte(len(more)) // the envelope is shorter than 128 bytes
		batches = append(batches, slices.Concat(header, bare, []byte(more)))
	}
	const all = FlagFirst | FlagReceipt | FlagConfirm | FlagDroppable | FlagDelivered
	for _, flags := range []byte{0, FlagFirst, FlagReceipt, FlagConfirm, FlagDroppable, FlagDelivered, all, 0xff} {
		batch("", flags)
	}
	const content, newer = "\x01\x0812345678", "\xc8\x02xy"
	for _, more := range []string{content, newer, newer + content, content + newer, content + content, "\x01\x03123", "\x01\x00", content[:5]} {
		batch(more, all)
	}
	return batches
}

// Only a message that is cut is refused.
func TestExtensionsAreRead(t *testing.T) {
	batches := messagesWith()
	for i, batch := range batches {
		_, e, _, err := readBatch(string(batch))
		if err != nil {
			t.Fatal(err)
		}
		m, ok := e.Next().Message()
		if cut := i == len(batches)-1; ok == cut || m.From != "alice" || string(m.Data) != "1" {
			t.Errorf("%x is read as %+v, %v", batch, m, ok)
		}
	}
}

func FuzzBatch(f *testing.F) {
	for _, batch := range goldenBatches() {
		f.Add(batch)
	}
	for _, batch := range messagesWith() {
		f.Add(batch)
	}
	f.Add([]byte(`{"to":"bob","from":"x","data":1}`))
	f.Add([]byte{1, 0})
	f.Add([]byte{2, 0, 0})
	keyed := NewSigner([][]byte{newKey()})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if _, err := keyed.Open("ch", string(payload)); err == nil {
			t.Fatal("it was opened with a key that it was not signed with")
		}
		h, e, n, err := readBatch(string(payload))
		if err != nil {
			return
		}
		for range n {
			next := e.Next()
			m, ok := next.Message()
			if !ok || next.Kind != KindMessage {
				continue
			}
			again := Envelopes(AppendMessage(nil, &m))
			b, ok := again.Next().Message()
			if !ok || !bytes.Equal(m.Data, b.Data) {
				t.Fatalf("%+v became %+v", m, b)
			}
			if m.Data, b.Data = nil, nil; !reflect.DeepEqual(m, b) {
				t.Fatalf("%+v became %+v", m, b)
			}
		}
		if e != "" {
			t.Fatalf("%d bytes were not counted as envelopes", len(e))
		}
		again, _, _, err := readBatch(string(AppendHeader(nil, &h)))
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
