package link

import (
	"encoding/binary"
	"errors"
)

const (
	// MaxNode is the longest name of a node, in bytes.
	MaxNode = 256
	// maxNacks bounds those of an acknowledgement: a receiver with MaxRefused of them
	// takes no further batch (Receiver.Take), and its last one had no more than a window.
	maxNacks = MaxRefused + MaxWindow + 1
)

// Why a batch can't be read. See also seal.go.
var (
	ErrMalformed = errors.New("malformed batch")
	ErrVersion   = errors.New("batch of another version")
)

// NackCode is why an owner did not deliver a message.
type NackCode uint8

// Why a message was not delivered.
const (
	NackNotHere    NackCode = 1 + iota // it does not hold the address
	NackJoining                        // it is just claiming it: try again soon
	NackOverloaded                     // every session's queue was full
	NackStale                          // it may not know all owners that there are
)

// Nack is one number of an acknowledgement that was not delivered.
type Nack struct {
	Seq  uint64
	Code NackCode
}

// Ack acknowledges a life of the peer's link up to a number. Whatever has no nack was
// delivered.
type Ack struct {
	Life  uint64 // 0: nothing is acknowledged
	UpTo  uint64
	Nacks []Nack // in the order of their numbers
}

// Header begins a batch.
type Header struct {
	From  string // the sending node
	Life  uint64 // of its link; 0: the envelopes are not numbered
	First uint64 // the number of the batch's first envelope
	Base  uint64 // the lowest number that the sender has no acknowledgement for
	Ack   Ack

	Sealed bool // AppendHeader leaves room for a MAC
}

// AppendHeader begins a batch in b, with room for a MAC if it is to be signed. The
// header holds few bytes, so its length is measured by writing it.
func AppendHeader(b []byte, h *Header) []byte {
	b = append(b, Version, sealNone)
	if h.Sealed {
		var mac [macSize]byte
		b[len(b)-1] = sealMAC
		b = append(b, mac[:]...)
	}
	var room [512]byte
	body := appendStr(room[:0], h.From)
	body = binary.LittleEndian.AppendUint64(body, h.Life)
	body = binary.AppendUvarint(body, h.First)
	body = binary.AppendUvarint(body, h.Base)
	body = binary.LittleEndian.AppendUint64(body, h.Ack.Life)
	body = binary.AppendUvarint(body, h.Ack.UpTo)
	body = binary.AppendUvarint(body, uint64(len(h.Ack.Nacks)))
	for _, n := range h.Ack.Nacks {
		body = binary.AppendUvarint(body, n.Seq)
		body = append(body, byte(n.Code))
	}
	return appendStr(b, body)
}

// ReadHeader reads the header of what a Signer has opened. It returns the envelopes
// behind it, of which there are count: a batch is read whole or not at all.
func ReadHeader(opened string) (h Header, envelopes Envelopes, count int, err error) {
	r := reader{rest: opened}
	body := reader{rest: r.str()}
	h.From = body.str()
	h.Life = body.uint64()
	h.First = body.uvarint()
	h.Base = body.uvarint()
	h.Ack.Life = body.uint64()
	h.Ack.UpTo = body.uvarint()
	n := body.uvarint()
	if n > uint64(len(body.rest))/2 || n > maxNacks { // a nack has two bytes at least, and 16 once read
		return h, "", 0, ErrMalformed
	}
	for range n {
		h.Ack.Nacks = append(h.Ack.Nacks, Nack{Seq: body.uvarint(), Code: NackCode(body.byte())})
	}
	if r.bad || body.bad || h.From == "" || len(h.From) > MaxNode {
		return h, "", 0, ErrMalformed
	}
	count, ok := Envelopes(r.rest).count()
	if !ok {
		return h, "", 0, ErrMalformed
	}
	return h, Envelopes(r.rest), count, nil
}
