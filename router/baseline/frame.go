package baseline

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/beeline-ws/beeline/router"
)

// What is published is a batch: a header, and frames up to the end of the payload.
//
//	batch   = version node origin *frame
//	version = %x01
//	node    = string                   ; the publisher's node ID: answers go to its private channel
//	origin  = 8OCTET                   ; of the IDs of the messages in the batch, big endian
//	frame   = kind string              ; the string is the frame's body
//	kind    = %x00 / %x01              ; message, receipt. Others are skipped
//	message = to flags from count accepted data
//	to      = string                   ; the address
//	flags   = OCTET                    ; 1: a receipt is wanted, 2: a confirmation, 4: droppable
//	from    = string                   ; the sending client
//	count   = uvarint                  ; of the message's ID
//	accepted= uvarint                  ; when it was sent, in Unix microseconds
//	data    = *OCTET                   ; to the end of the frame
//	receipt = count outcome client
//	outcome = OCTET                    ; as package router numbers them
//	client  = string                   ; who answers: the message's receiver
//	string  = uvarint *OCTET           ; its length in bytes, and the bytes
//
// A message's address comes first, so that a node that does not hold it reads no further.

// frameVersion is the first byte of each batch. A node takes no other.
const frameVersion = 1

// maxNodeID is the longest node ID that is read, in bytes.
const maxNodeID = 256

type kind byte

const (
	kindMessage kind = iota
	kindReceipt

	kinds
)

var kindNames = [kinds]string{"message", "receipt"}

const (
	flagReceipt = 1 << iota
	flagConfirm
	flagDroppable
)

var (
	errVersion   = errors.New("batch is of another version")
	errMalformed = errors.New("batch is malformed")
)

// header begins a batch.
type header struct {
	node   string // the publisher's
	origin uint64 // of its messages' IDs
}

func (h *header) append(b []byte) []byte {
	b = append(b, frameVersion)
	b = appendString(b, h.node)
	return binary.BigEndian.AppendUint64(b, h.origin)
}

// arrival is a message as it was read. Its strings and data are parts of the payload.
type arrival struct {
	router.Message
	receipt  bool
	accepted int64 // Unix µs
}

// appendMessage appends a frame with m, accepted at that time in Unix µs.
func appendMessage(b []byte, m *router.Message, accepted int64) []byte {
	var flags byte
	if m.Receipt {
		flags |= flagReceipt
	}
	if m.Confirm {
		flags |= flagConfirm
	}
	if m.Droppable {
		flags |= flagDroppable
	}
	size := stringSize(len(m.To)) + 1 + stringSize(len(m.From)) + uvarintSize(m.ID.Count) + uvarintSize(uint64(accepted)) + len(m.Data)
	b = append(b, byte(kindMessage))
	b = binary.AppendUvarint(b, uint64(size))
	b = appendString(b, m.To)
	b = append(b, flags)
	b = appendString(b, m.From)
	b = binary.AppendUvarint(b, m.ID.Count)
	b = binary.AppendUvarint(b, uint64(accepted))
	return append(b, m.Data...)
}

// receipt is what became of a message of the node that gets it.
type receipt struct {
	count   uint64
	outcome router.Outcome
	client  string // the message's receiver
}

func (x *receipt) append(b []byte) []byte {
	b = append(b, byte(kindReceipt))
	b = binary.AppendUvarint(b, uint64(uvarintSize(x.count)+1+stringSize(len(x.client))))
	b = binary.AppendUvarint(b, x.count)
	b = append(b, byte(x.outcome))
	return appendString(b, x.client)
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func stringSize(n int) int { return uvarintSize(uint64(n)) + n }

func uvarintSize(n uint64) (size int) {
	for size = 1; n >= 0x80; size++ {
		n >>= 7
	}
	return size
}

// readHeader takes the header off a payload and returns the frames behind it.
func readHeader(payload string) (h header, frames string, err error) {
	if payload == "" || payload[0] != frameVersion {
		return h, "", errVersion
	}
	r := reader{rest: payload[1:]}
	h.node, h.origin = r.str(), r.uint64()
	if r.bad || len(h.node) > maxNodeID {
		return h, "", errMalformed
	}
	return h, r.rest, nil
}

// readFrame takes the first frame off. ok is false if the frames are malformed.
func readFrame(frames string) (k kind, body, rest string, ok bool) {
	r := reader{rest: frames}
	k, body = kind(r.byte()), r.str()
	return k, body, r.rest, !r.bad
}

// readTo takes the address off a message's body.
func readTo(body string) (to, rest string, ok bool) {
	r := reader{rest: body}
	to = r.str()
	return to, r.rest, !r.bad && len(to) <= router.MaxAddress
}

// read reads what stands behind the address.
func (a *arrival) read(rest string, origin uint64) (ok bool) {
	r := reader{rest: rest}
	flags := r.byte()
	a.receipt, a.Confirm, a.Droppable = flags&flagReceipt != 0, flags&flagConfirm != 0, flags&flagDroppable != 0
	a.Receipt = a.receipt
	a.From = r.str()
	a.ID = router.MessageID{Origin: origin, Count: r.uvarint()}
	a.accepted = int64(r.uvarint())
	a.Data = bytesOf(r.rest)
	return !r.bad && len(a.From) <= router.MaxAddress
}

// read reads a receipt's body.
func (x *receipt) read(body string) (ok bool) {
	r := reader{rest: body}
	x.count, x.outcome, x.client = r.uvarint(), router.Outcome(r.byte()), r.str()
	switch x.outcome {
	case router.Delivered, router.Overloaded, router.Confirmed:
		return !r.bad && r.rest == ""
	}
	return false
}

// reader takes values off a string. After the first that is not there it is bad, and gives
// zeros.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) take(n uint64) (s string) {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	s, r.rest = r.rest[:n], r.rest[n:]
	return s
}

func (r *reader) byte() byte {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if s := r.take(8); s != "" {
		return binary.BigEndian.Uint64(bytesOf(s))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(bytesOf(r.rest[:min(len(r.rest), binary.MaxVarintLen64)]))
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.take(uint64(size))
	return n
}

func (r *reader) str() string { return r.take(r.uvarint()) }

// bytesOf views s as bytes, which must not be written to: it saves copying each message
// that arrives.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
