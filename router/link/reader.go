package link

import (
	"encoding/binary"
	"unsafe"
)

// reader takes fields off the front of a peer's bytes. The first field that does
// not fit makes it bad, and every later field zero.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) fail() { r.rest, r.bad = "", true }

func (r *reader) byte() byte {
	if r.rest == "" {
		r.fail()
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *reader) uvarint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		if shift == 63 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) uint64() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	n := binary.LittleEndian.Uint64(bytesOf(r.rest[:8]))
	r.rest = r.rest[8:]
	return n
}

func (r *reader) str() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

// bytesOf views s as bytes, which must not be written to: it saves copying each
// message that arrives.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// Envelopes are the envelopes of a batch.
type Envelopes string

// Envelope is one envelope as read: its kind and its body, a part of the batch.
type Envelope struct {
	Kind Kind
	body string
}

// Next takes the first envelope off the batch. There must be one.
func (e *Envelopes) Next() Envelope {
	r := reader{rest: string(*e)}
	next := r.next()
	*e = Envelopes(r.rest)
	return next
}

// next takes one envelope off the front.
func (r *reader) next() Envelope {
	body := r.str()
	if r.bad || body == "" {
		r.fail()
		return Envelope{}
	}
	return Envelope{Kind(body[0]), body[1:]}
}

// count counts the envelopes. ok reports whether each can be cut off the others.
func (e Envelopes) count() (n int, ok bool) {
	r := reader{rest: string(e)}
	for ; r.rest != ""; n++ {
		if r.next(); r.bad {
			return 0, false
		}
	}
	return n, true
}

// Message reads a message. Its strings and its data are parts of the batch.
func (e Envelope) Message() (m Message, ok bool) {
	r := reader{rest: e.body}
	m.Flags, m.Hops = r.byte(), r.byte()
	m.ID = MessageID{Origin: r.uint64(), Count: r.uvarint()}
	m.Accepted = int64(r.uvarint())
	m.Owners = r.uint64()
	m.From, m.To = r.str(), r.str()
	m.Data = bytesOf(r.str())
	for r.rest != "" {
		tag, value := r.byte(), reader{rest: r.str()}
		if tag == tagContentHash {
			m.ContentHash = value.uint64()
		}
	}
	return m, !r.bad
}

// Claimed reads which address the sender has claimed.
func (e Envelope) Claimed() (address string) {
	r := reader{rest: e.body}
	return r.str()
}

// Replaced reads which claim of an address the sender has replaced.
func (e Envelope) Replaced() (address, token string) {
	r := reader{rest: e.body}
	return r.str(), r.str()
}

// Receipt reads what became of a message to client.
func (e Envelope) Receipt() (id MessageID, outcome byte, client string, ok bool) {
	r := reader{rest: e.body}
	id = MessageID{Origin: r.uint64(), Count: r.uvarint()}
	outcome, client = r.byte(), r.str()
	return id, outcome, client, !r.bad
}

// Withdrawn reads which message is not sent again.
func (e Envelope) Withdrawn() MessageID {
	r := reader{rest: e.body}
	return MessageID{Origin: r.uint64(), Count: r.uvarint()}
}

// Probe reads the number of a probe.
func (e Envelope) Probe() uint64 {
	r := reader{rest: e.body}
	return r.uvarint()
}
