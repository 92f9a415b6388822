package node

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// assembly puts a message together from fragments and from pieces of them.
// A message that comes in one piece is passed on without a copy. Invalid UTF-8 in a text
// message is noticed with the piece that makes it so.
type assembly struct {
	open  bool      // the next frame must continue the message
	ended bool      // a message has ended since somebody set it to false
	op    ws.OpCode // of the message
	bytes []byte    // what came of it, but for a message in one piece
	valid int       // leading bytes that are known to be UTF-8
}

// add adds a piece of a frame. last: the frame ends with it; final: the message does.
func (a *assembly) add(op ws.OpCode, piece []byte, last, final bool, out sink) error {
	if op != ws.OpContinuation {
		a.op = op
	}
	if final && !a.open && len(a.bytes) == 0 {
		if a.op == ws.OpText && !utf8.Valid(piece) {
			return closedBadUTF8
		}
		a.ended = true
		return out.message(a.op, piece)
	}
	a.bytes = append(a.bytes, piece...)
	if a.op == ws.OpText && !a.stillUTF8(final) {
		return closedBadUTF8
	}
	if last {
		a.open = !final
	}
	if !final {
		return nil
	}
	text := a.bytes
	a.bytes, a.valid, a.ended = a.bytes[:0], 0, true
	return out.message(a.op, text)
}

// stillUTF8 reports whether the bytes are UTF-8, or can become it unless the message is final.
func (a *assembly) stillUTF8(final bool) bool {
	n, ok := validUTF8(a.bytes[a.valid:])
	a.valid += n
	return ok && (!final || a.valid == len(a.bytes))
}

// validUTF8 returns how many leading bytes of b are whole runes, and false if b
// can't be the beginning of UTF-8. What is left over is an incomplete rune.
func validUTF8(b []byte) (n int, ok bool) {
	n = len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if at := len(b) - i; utf8.RuneStart(b[at]) {
			if !utf8.FullRune(b[at:]) {
				n = at
			}
			break
		}
	}
	return n, utf8.Valid(b[:n])
}
