package bench

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/gobwas/ws"
)

func TestPayloadComesBack(t *testing.T) {
	want := stamp{seq: 4_000_000_000, due: 1<<40 + 5, from: 17, to: 99}
	for _, size := range []int{minPayload, minPayload + 1, 1024} {
		b := appendPayload(nil, want, size)
		if len(b) != size || !json.Valid(b) {
			t.Fatalf("%d bytes, want %d: %s", len(b), size, b)
		}
		if got, ok := parsePayload(b, size); !ok || got != want {
			t.Errorf("read %+v, %v; want %+v", got, ok, want)
		}
		for i := range b {
			spoilt := bytes.Clone(b)
			spoilt[i] = 'X'
			if got, ok := parsePayload(spoilt, size); ok {
				t.Errorf("a payload with another byte at %d is read as %+v", i, got)
			}
		}
		if _, ok := parsePayload(b[:size-1], size); ok {
			t.Error("a shorter payload is taken")
		}
	}
}

func TestSendIsAFrameOfTheProtocol(t *testing.T) {
	var b, frame []byte
	for _, size := range []int{minPayload, 200, 70_000} {
		for _, receipt := range []bool{false, true} {
			b, frame = appendSend(b, "bob", stamp{seq: 12}, size, receipt)
			in := bytes.NewReader(frame)
			h, err := ws.ReadHeader(in)
			if err != nil || !h.Masked || !h.Fin || h.OpCode != ws.OpText || h.Length != int64(in.Len()) {
				t.Fatalf("frame %+v, %v", h, err)
			}
			text := frame[len(frame)-in.Len():]
			ws.Cipher(text, h.Mask, 0)
			var sent struct {
				Type, To string
				Data     json.RawMessage
				ID       int
			}
			if err := json.Unmarshal(text, &sent); err != nil {
				t.Fatal(err)
			}
			if sent.Type != "send" || sent.To != "bob" || len(sent.Data) != size || (sent.ID == 12) != receipt {
				t.Errorf("sent %+v", sent)
			}
		}
	}
}

func TestFramesAreCutOffWhole(t *testing.T) {
	for _, size := range []int{0, 10, 200, 70_000} {
		b := ws.MustCompileFrame(ws.NewTextFrame(bytes.Repeat([]byte("a"), size)))
		for _, n := range []int{0, 1, 3, len(b) - 1} {
			if n < len(b) {
				if _, _, cut := cutFrame(b[:n]); cut != 0 {
					t.Errorf("%d of %d bytes are taken for a frame", n, len(b))
				}
			}
		}
		op, content, cut := cutFrame(append(b, "next"...))
		if op != ws.OpText || len(content) != size || cut != len(b) {
			t.Errorf("cut off %d bytes with %d of content, want %d with %d", cut, len(content), len(b), size)
		}
	}
}

func TestFramesAreReadInAnyLayout(t *testing.T) {
	for _, text := range []string{
		`{"type":"message","from":"ann","to":"bob","id":"1f-2","data":"x"}`,
		`{"type":"message","id":"1f-2","from":"ann", "to":"bob","data":"x"}`,
	} {
		in, err := parseIncoming([]byte(text))
		if err != nil || in.kind != "message" || string(in.from) != "ann" || string(in.to) != "bob" || string(in.data) != `"x"` {
			t.Errorf("%s is read as %+v, %v", text, in, err)
		}
	}
	for _, text := range []string{`{"type":"receipt","id":7,"outcome":"offline"}`, `{"outcome":"offline","id":7,"type":"receipt"}`} {
		if in, err := parseIncoming([]byte(text)); err != nil || in.kind != "receipt" || in.id != 7 || in.outcome != "offline" {
			t.Errorf("%s is read as %+v, %v", text, in, err)
		}
	}
	if _, err := parseIncoming([]byte(`{"type"`)); err == nil {
		t.Error("half an object is taken")
	}
}
