package node

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// frames cuts a client's bytes into messages and control frames. Bytes come as
// they come; only what is incomplete is kept. Owned by the reading side.
type frames struct {
	// The frame that is being read.
	frame  ws.Header
	within bool  // frame is known and not complete
	read   int64 // bytes of its payload

	partial  [ws.MaxHeaderSize]byte // of a header
	npartial uint8
	empties  uint8 // empty fragments of the message so far

	control []byte // of a control frame's payload
	text    assembly
	kept    kept
}

// sink takes what a client sent. An error ends the stream. The slices are the
// caller's, and good until the method returns.
type sink interface {
	accepts(op ws.OpCode) bool // messages of this kind
	message(op ws.OpCode, payload []byte) error
	control(op ws.OpCode, payload []byte) error
}

// idle reports whether the stream is between two messages, so that there is
// nothing to keep.
func (f *frames) idle() bool {
	return !f.within && f.npartial == 0 && !f.text.open
}

// trim keeps no long buffer for the next use.
func (f *frames) trim() {
	if cap(f.text.bytes) > maxPooled {
		f.text.bytes = nil
	}
}

// feed takes the next bytes of the stream, unmasks them in place and hands on
// what is complete. Messages have at most limit bytes. After an error, which is
// a closeReason, the stream can't be read further.
func (f *frames) feed(b []byte, limit int, out sink) error {
	for len(b) > 0 {
		if !f.within {
			n, err := f.begin(b, limit, out)
			if err != nil {
				return err
			}
			b = b[n:]
		}
		if !f.within {
			return nil
		}
		n := min(int64(len(b)), f.frame.Length-f.read)
		if err := f.payload(b[:n], out); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// begin takes a frame's header from b, or as much of it as there is.
func (f *frames) begin(b []byte, limit int, out sink) (taken int, err error) {
	old, header := int(f.npartial), b
	if old > 0 {
		f.npartial += uint8(copy(f.partial[old:], b))
		header = f.partial[:f.npartial]
	}
	h, size, err := parseHeader(header)
	if err != nil {
		return 0, err
	}
	if size == 0 {
		if old == 0 {
			f.npartial = uint8(copy(f.partial[:], b))
		}
		return len(b), nil
	}
	if err := f.check(h, limit, out); err != nil {
		return 0, err
	}
	f.frame, f.within, f.read, f.npartial = h, true, 0, 0
	return size - old, nil
}

// check judges a header before any of its payload is kept.
func (f *frames) check(h ws.Header, limit int, out sink) error {
	state := ws.StateServerSide
	if f.text.open {
		state = state.Set(ws.StateFragmented)
	}
	switch {
	case ws.CheckHeader(h, state) != nil:
		return closedProtocol
	case h.OpCode.IsData() && h.OpCode != ws.OpContinuation && !out.accepts(h.OpCode):
		return closedUnsupported
	case h.OpCode.IsData() && h.Length > int64(limit-len(f.text.bytes)):
		return closedTooBig
	}
	return f.countEmpty(h)
}

// maxEmpties is how many empty fragments a message may have. Others bring it nearer to
// its greatest length; these could go on for ever.
const maxEmpties = 64

// countEmpty closes with 1008 where a message has too many empty fragments.
func (f *frames) countEmpty(h ws.Header) error {
	switch {
	case !h.OpCode.IsData():
	case h.Fin:
		f.empties = 0
	case h.Length == 0:
		if f.empties++; f.empties > maxEmpties {
			return closedFragments
		}
	}
	return nil
}

// payload takes a piece of the current frame's payload, and completes the frame
// with its last one.
func (f *frames) payload(piece []byte, out sink) error {
	ws.Cipher(piece, f.frame.Mask, int(f.read%4))
	f.read += int64(len(piece))
	last := f.read == f.frame.Length
	if last {
		f.within = false
	}
	if f.frame.OpCode.IsControl() {
		return f.controlPayload(piece, last, out)
	}
	return f.text.add(f.frame.OpCode, piece, last, last && f.frame.Fin, out)
}

func (f *frames) controlPayload(piece []byte, last bool, out sink) error {
	if !last || len(f.control) > 0 {
		f.control = append(f.control, piece...)
		piece = f.control
	}
	if !last {
		return nil
	}
	f.control = f.control[:0]
	return out.control(f.frame.OpCode, piece)
}

// parseHeader reads a frame's header from the beginning of b and returns its
// size, 0 if b ends within it. It fails if the length has its top bit set, or more bytes
// than it needs (RFC 6455, section 5.2).
func parseHeader(b []byte) (h ws.Header, size int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	size = 2
	length := int64(b[1] & 0x7f)
	switch length {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	h.Masked = b[1]&0x80 != 0
	masked := size
	if h.Masked {
		size += 4
	}
	if len(b) < size {
		return h, 0, nil
	}
	switch length {
	case 126:
		length = int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		length = int64(binary.BigEndian.Uint64(b[2:]))
	}
	if short := int64(b[1] & 0x7f); length < 0 || short == 126 && length < 126 || short == 127 && length < 1<<16 {
		return h, 0, closedProtocol
	}
	h.Fin, h.Rsv, h.OpCode, h.Length = b[0]&0x80 != 0, b[0]>>4&7, ws.OpCode(b[0]&0x0f), length
	if h.Masked {
		copy(h.Mask[:], b[masked:])
	}
	return h, size, nil
}

// frameSize returns the bytes of a server's frame with n bytes of payload.
func frameSize(n int) int {
	switch {
	case n < 126:
		return 2 + n
	case n < 1<<16:
		return 4 + n
	}
	return 10 + n
}

// appendHeader appends the header of a final, unmasked frame.
func appendHeader(b []byte, op ws.OpCode, n int) []byte {
	b = append(b, 0x80|byte(op))
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
}
