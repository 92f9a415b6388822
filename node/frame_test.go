package node

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const limit = 64 << 10

// Each row is a client that breaks the rules of frames, and the code that its
// session is closed with.
func TestHostileFrames(t *testing.T) {
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	closeFrame := func(body string) []byte { return frame(ws.OpClose, body) }
	rows := []struct {
		name   string
		bytes  []byte
		code   ws.StatusCode
		reason closeReason
	}{
		{"unmasked", rawFrame(0x81, false, `{"type":"ping"}`), 1002, closedProtocol},
		{"reserved bit 1", rawFrame(0xc1, true, "{}"), 1002, closedProtocol},
		{"reserved bit 3", rawFrame(0x91, true, "{}"), 1002, closedProtocol},
		{"bad data opcode", frame(3, "{}"), 1002, closedProtocol},
		{"bad control opcode", frame(0xb, ""), 1002, closedProtocol},
		{"fragmented control", rawFrame(byte(ws.OpPing), true, "x"), 1002, closedProtocol},
		{"long control", frame(ws.OpPing, strings.Repeat("x", 126)), 1002, closedProtocol},
		{"continuation of nothing", frame(ws.OpContinuation, "{}"), 1002, closedProtocol},
		{"text within a message", join(rawFrame(1, true, "{"), frame(ws.OpText, "}")), 1002, closedProtocol},
		{"length with its top bit", []byte{0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4}, 1002, closedProtocol},
		{"length in two bytes that fits into seven bits", []byte{0x81, 0xfe, 0, 125, 1, 2, 3, 4}, 1002, closedProtocol},
		{"length in eight bytes that fits into two", []byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, 1002, closedProtocol},
		{"ping with its length in two bytes", []byte{0x89, 0xfe, 0, 2, 1, 2, 3, 4, 'h', 'i'}, 1002, closedProtocol},
		{"binary", frame(ws.OpBinary, "{}"), 1003, closedUnsupported},
		{"bad UTF-8", frame(ws.OpText, "\xff"), 1007, closedBadUTF8},
		{"half a rune", frame(ws.OpText, "\xe2\x82"), 1007, closedBadUTF8},
		{"bad UTF-8 over fragments", join(rawFrame(1, true, "\xe2"), frame(ws.OpContinuation, "A")), 1007, closedBadUTF8},
		{"surrogate in a first fragment", rawFrame(1, true, "\xed\xa0\x80"), 1007, closedBadUTF8},
		{"frame over the limit", []byte{0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4}, 1009, closedTooBig},
		{"huge frame", []byte{0x81, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 1009, closedTooBig},
		{"message over the limit", join(rawFrame(1, true, strings.Repeat("x", limit)), frame(ws.OpContinuation, "x")), 1009, closedTooBig},
		{"close with one byte", closeFrame("x"), 1002, closedProtocol},
		{"close with code 999", closeFrame("\x03\xe7"), 1002, closedProtocol},
		{"close with code 1005", closeFrame("\x03\xed"), 1002, closedProtocol},
		{"close with code 1004", closeFrame("\x03\xec"), 1002, closedProtocol},
		{"close with code 1006", closeFrame("\x03\xee"), 1002, closedProtocol},
		{"close with code 1015", closeFrame("\x03\xf7"), 1002, closedProtocol},
		{"close with code 2999", closeFrame("\x0b\xb7"), 1002, closedProtocol},
		{"endless empty fragments", join(rawFrame(1, true, ""), bytes.Repeat(rawFrame(0, true, ""), 200)), 1008, closedFragments},
		{"endless empty fragments behind text", join(rawFrame(1, true, "{"), bytes.Repeat(rawFrame(0, true, ""), 200)), 1008, closedFragments},
		{"endless empty fragments and pings", join(rawFrame(1, true, "{"), bytes.Repeat(join(frame(ws.OpPong, ""), rawFrame(0, true, "")), 200)), 1008, closedFragments},
		{"close with code 1016", closeFrame("\x03\xf8"), 1002, closedProtocol},
		{"close with code 5000", closeFrame("\x13\x88"), 1002, closedProtocol},
		{"close with a bad reason", closeFrame("\x03\xe8\xff"), 1007, closedBadUTF8},
	}
	n := start(t, nil)
	by := n.bystanders()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := testutil.ToFloat64(n.counts.closes[row.reason])
			c := connect(t, n.Addr(), "hostile")
			c.write(row.bytes)
			c.write(frame(ws.OpText, `{"type":"ping"}`)) // not heard any more
			c.wantClose(row.code)
			if got := testutil.ToFloat64(n.counts.closes[row.reason]); got != before+1 {
				t.Errorf("%v: counted %v, want %v", row.reason, got, before+1)
			}
			by.wantUndisturbed()
			eventually(t, "it left", func() bool { return n.x.members("hostile") == 0 })
		})
	}
}

func TestClosingHandshake(t *testing.T) {
	n := start(t, nil)
	for body, answer := range map[string]string{
		"": "", "\x03\xe8": "\x03\xe8", "\x03\xe9bye": "\x03\xe9", "\x0f\xa1": "\x0f\xa1",
		"\x03\xf4": "\x03\xf4", "\x03\xf5": "\x03\xf5", "\x03\xf6": "\x03\xf6", "\x0b\xb8": "\x0b\xb8", "\x13\x87": "\x13\x87",
	} {
		c := connect(t, n.Addr(), "leaver")
		c.write(frame(ws.OpClose, body))
		if got := c.want(ws.OpClose, ""); got != answer {
			t.Errorf("%q answered by %q, want %q", body, got, answer)
		}
		c.wantEnd()
	}
	eventually(t, "it left", func() bool { return n.x.members("leaver") == 0 })
	if got := testutil.ToFloat64(n.counts.closes[closedByClient]); got != 9 {
		t.Errorf("%v closed by the client, want 9", got)
	}
}

func TestControlWithinFragments(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "a")
	c.write(rawFrame(1, true, `{"type":"send","to":"a","da`))
	c.write(frame(ws.OpPing, "between"))
	c.write(rawFrame(0, true, ""))
	c.write(frame(ws.OpContinuation, `ta":"ä"}`))
	c.want(ws.OpPong, "between")
	c.wantMessage("a", `"ä"`)
}

// recorder notes what a stream of frames is read as.
type recorder struct{ strings.Builder }

func (r *recorder) accepts(ws.OpCode) bool { return true }

func (r *recorder) message(op ws.OpCode, payload []byte) error {
	fmt.Fprintf(r, "message %d %q\n", op, payload)
	return nil
}

func (r *recorder) control(op ws.OpCode, payload []byte) error {
	fmt.Fprintf(r, "control %d %q\n", op, payload)
	return nil
}

// reading returns what a stream is read as, up to its error, when it comes in
// pieces that end at the given places.
func reading(stream []byte, limit int, ends ...int) string {
	var f frames
	var r recorder
	stream = bytes.Clone(stream)
	for at := 0; at < len(stream); {
		end := len(stream)
		if len(ends) > 0 {
			end, ends = max(at, min(ends[0], end)), ends[1:]
		}
		if err := f.feed(stream[at:end], limit, &r); err != nil {
			fmt.Fprintf(&r, "error %v", err)
			break
		}
		at = end
	}
	return r.String()
}

var streams = map[string][]byte{
	"small": bytes.Join([][]byte{
		frame(ws.OpText, `{"type":"ping"}`), frame(ws.OpText, ""), frame(ws.OpPing, ""), frame(ws.OpPong, "abc"),
		rawFrame(1, true, "ab\xe2"), frame(ws.OpPing, "in between"), rawFrame(0, true, "\x82"), rawFrame(0, true, ""),
		frame(ws.OpContinuation, "\xac!"), frame(ws.OpClose, "\x03\xe8"),
	}, nil),
	"lengths":   bytes.Join([][]byte{frame(ws.OpText, strings.Repeat("x", 125)), frame(ws.OpText, strings.Repeat("y", 126))}, nil),
	"bad UTF-8": bytes.Join([][]byte{rawFrame(1, true, "abc\xe2\x82"), frame(ws.OpContinuation, "abc")}, nil),
	"binary": bytes.Join([][]byte{
		frame(ws.OpBinary, "\xff\xfe"), rawFrame(2, true, "\xe2"), frame(ws.OpPing, ""), frame(ws.OpContinuation, "A"), frame(ws.OpText, "abc"),
	}, nil),
	"bad op":  bytes.Join([][]byte{frame(ws.OpText, "abc"), frame(7, "abc")}, nil),
	"64 bit":  append([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0}, "abc"...),
	"too big": append(frame(ws.OpText, "abc"), 0x81, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0),
}

func TestStreamsSplitAnywhere(t *testing.T) {
	for name, stream := range streams {
		whole := reading(stream, 1000)
		for i := range len(stream) {
			for j := i; j <= min(len(stream), i+20); j++ {
				if got := reading(stream, 1000, i, j); got != whole {
					t.Fatalf("%s split at %d and %d: %s\nwant %s", name, i, j, got, whole)
				}
			}
		}
		bytewise := make([]int, len(stream))
		for i := range bytewise {
			bytewise[i] = i + 1
		}
		if got := reading(stream, 1000, bytewise...); got != whole {
			t.Errorf("%s byte by byte: %s\nwant %s", name, got, whole)
		}
	}
}

func TestBinaryMessagesAreNoText(t *testing.T) {
	got := reading(streams["binary"], 1000)
	want := "message 2 \"\\xff\\xfe\"\ncontrol 9 \"\"\nmessage 2 \"\\xe2A\"\nmessage 1 \"abc\"\n"
	if got != want {
		t.Errorf("read as %q, want %q", got, want)
	}
}

func TestLongMessages(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "long")
	overhead := len(`{"type":"send","to":"long","data":""}`)
	for _, size := range []int{0, 80, 126, 4000, 60000, limit - overhead} {
		data := `"` + strings.Repeat("x", size) + `"`
		c.send("long", data, "")
		c.wantMessage("long", data)
	}
}

// Some empty fragments are no attack, in each message anew.
func TestSomeEmptyFragmentsAreTaken(t *testing.T) {
	n := start(t, nil)
	c := connect(t, n.Addr(), "a")
	for range 3 {
		c.write(rawFrame(1, true, ""))
		c.write(bytes.Repeat(rawFrame(0, true, ""), maxEmpties-1))
		c.write(frame(ws.OpContinuation, `{"type":"ping"}`))
		c.want(ws.OpText, `{"type":"pong"}`)
	}
}
