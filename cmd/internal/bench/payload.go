package bench

import "encoding/binary"

// A payload is a JSON string: a mark, the message's number, when it was to be sent,
// its sender and receiver, and padding to the wanted size.
const (
	payloadMark = "@bench"
	payloadHex  = 8 + 16 + 8 + 8 // digits
	minPayload  = len(`"`) + len(payloadMark) + payloadHex + len(`"`)
	padding     = '.'
)

// stamp is what every payload carries.
type stamp struct {
	seq      uint32
	due      int64 // nanoseconds since the fleet began
	from, to uint32
}

// appendPayload appends a payload of size bytes, at least minPayload.
func appendPayload(b []byte, s stamp, size int) []byte {
	end := len(b) + size
	b = append(append(b, '"'), payloadMark...)
	var head [payloadHex / 2]byte
	binary.BigEndian.PutUint32(head[0:], s.seq)
	binary.BigEndian.PutUint64(head[4:], uint64(s.due))
	binary.BigEndian.PutUint32(head[12:], s.from)
	binary.BigEndian.PutUint32(head[16:], s.to)
	for _, c := range head {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	for len(b) < end-1 {
		b = append(b, padding)
	}
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// parsePayload reads a payload of size bytes. Anything else, also if a byte of the
// padding has changed, is none.
func parsePayload(b []byte, size int) (s stamp, ok bool) {
	const begin = len(`"`) + len(payloadMark)
	if len(b) != size || b[0] != '"' || string(b[1:begin]) != payloadMark || b[size-1] != '"' {
		return s, false
	}
	for _, c := range b[minPayload-1 : size-1] {
		if c != padding {
			return s, false
		}
	}
	var head [payloadHex / 2]byte
	for i := range head {
		high, highOK := digit(b[begin+2*i])
		low, lowOK := digit(b[begin+2*i+1])
		if !highOK || !lowOK {
			return s, false
		}
		head[i] = high<<4 | low
	}
	return stamp{
		seq: binary.BigEndian.Uint32(head[0:]), due: int64(binary.BigEndian.Uint64(head[4:])),
		from: binary.BigEndian.Uint32(head[12:]), to: binary.BigEndian.Uint32(head[16:]),
	}, true
}

func digit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
