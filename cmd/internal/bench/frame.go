package bench

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/gobwas/ws"
)

// maxHeader is the longest header of a client's frame: with 64 bits of length, and
// the mask.
const maxHeader = 14

// appendSend makes of b, which is scratch, the frame of a send. A zero mask leaves
// the text as it is. A receipt comes back under the message's number.
func appendSend(b []byte, to string, s stamp, size int, receipt bool) (scratch, frame []byte) {
	b = append(b[:0], make([]byte, maxHeader)...)
	b = append(b, `{"type":"send",`...)
	if receipt {
		b = append(b, `"id":`...)
		b = append(strconv.AppendUint(b, uint64(s.seq), 10), ',')
	}
	b = append(append(append(b, `"to":"`...), to...), `","data":`...)
	b = append(appendPayload(b, s, size), '}')
	return b, prependHeader(b, ws.OpText)
}

// prependHeader puts the header of a masked frame right before its content, which
// begins at maxHeader, and returns the frame.
func prependHeader(b []byte, op ws.OpCode) []byte {
	n := len(b) - maxHeader
	var begin int
	switch {
	case n < 126:
		begin = maxHeader - 6
		b[begin+1] = 0x80 | byte(n)
	case n < 1<<16:
		begin = maxHeader - 8
		b[begin+1], b[begin+2], b[begin+3] = 0x80|126, byte(n>>8), byte(n)
	default:
		begin = maxHeader - 14
		b[begin+1] = 0x80 | 127
		for i := range 8 {
			b[begin+2+i] = byte(n >> (56 - 8*i))
		}
	}
	b[begin] = 0x80 | byte(op)
	return b[begin:]
}

// cutFrame cuts the first whole frame of a node off b; size is 0 if there is none.
// Nodes neither mask nor fragment.
func cutFrame(b []byte) (op ws.OpCode, content []byte, size int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	n, head := int(b[1]&0x7f), 2
	switch {
	case n == 126 && len(b) >= 4:
		n, head = int(b[2])<<8|int(b[3]), 4
	case n == 127 && len(b) >= 10:
		n, head = int(b[6])<<24|int(b[7])<<16|int(b[8])<<8|int(b[9]), 10
	case n >= 126:
		return 0, nil, 0
	}
	if len(b) < head+n {
		return 0, nil, 0
	}
	return ws.OpCode(b[0] & 0xf), b[head : head+n], head + n
}

// incoming is a frame of the plain protocol, as far as the bench looks at it.
type incoming struct {
	kind               string
	from, to, data     []byte // of a message
	id                 uint32 // of a receipt
	outcome            string
	code, text, reason string // of an error, and of a bye
}

// parseIncoming reads a frame. Messages and receipts are read by their known layout;
// whatever differs from it goes through the JSON decoder.
func parseIncoming(text []byte) (incoming, error) {
	if in, ok := scanMessage(text); ok {
		return in, nil
	}
	if in, ok := scanReceipt(text); ok {
		return in, nil
	}
	var f struct {
		Type, Outcome, Code, Message, Reason string
		From, To                             string
		Data                                 json.RawMessage
		ID                                   json.RawMessage
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return incoming{}, err
	}
	id, _ := strconv.ParseUint(string(f.ID), 10, 32) // a message's is no number
	return incoming{kind: f.Type, from: []byte(f.From), to: []byte(f.To), data: f.Data, id: uint32(id),
		outcome: f.Outcome, code: f.Code, text: f.Message, reason: f.Reason}, nil
}

func scanMessage(b []byte) (in incoming, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"type":"message","from":"`))
	if !ok {
		return in, false
	}
	from, rest, ok := bytes.Cut(rest, []byte(`","to":"`))
	if !ok {
		return in, false
	}
	to, rest, ok := bytes.Cut(rest, []byte(`","id":"`))
	if !ok {
		return in, false
	}
	_, rest, ok = bytes.Cut(rest, []byte(`","data":`))
	if !ok || len(rest) == 0 {
		return in, false
	}
	return incoming{kind: "message", from: from, to: to, data: rest[:len(rest)-1]}, true
}

func scanReceipt(b []byte) (in incoming, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(`{"type":"receipt","id":`))
	if !ok {
		return in, false
	}
	number, rest, ok := bytes.Cut(rest, []byte(`,"outcome":"`))
	if !ok {
		return in, false
	}
	outcome, _, ok := bytes.Cut(rest, []byte(`"`))
	id, err := strconv.ParseUint(string(number), 10, 32)
	if !ok || err != nil {
		return in, false
	}
	return incoming{kind: "receipt", id: uint32(id), outcome: string(outcome)}, true
}
