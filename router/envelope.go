package router

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// What travels in one PUBLISH is a batch of envelopes from one node:
//
//	batch    = version:1 seal:1 mac uvarint(len(header)) header envelope*
//	mac      = 16 bytes if seal is 1, none if it is 0 (seal.go)
//	header   = str(from) link:8 uvarint(first) uvarint(base) ack more*
//	ack      = ackLink:8 uvarint(upTo) uvarint(n) { uvarint(sequence) code:1 }*n
//	envelope = uvarint(len) kind:1 body
//	message  = flags:1 hops:1 origin:8 uvarint(count) uvarint(accepted)
//	           believed:8 str(from) str(to) str(data) extension*
//	claimed  = str(address) more*
//	replaced = str(address) str(token) more*
//	receipt  = origin:8 uvarint(count) outcome:1 str(client) more*
//	probe    = uvarint(count) more*
//	pruned   = more*
//	withdrawn = origin:8 uvarint(count) more*
//	extension = tag:1 str(value); tag 1: content:8
//	str      = uvarint(len) bytes
//
// Fixed-size numbers are little-endian. link is the sender's number for this life
// of the link, larger than those of its former lives, 0 for envelopes that are not
// numbered (probes, and the baselines' channels). first is the sequence of the
// batch's first envelope, base the lowest that the sender has no acknowledgement
// for. accepted is in Unix microseconds. believed is the set of owners that the
// sender's node has cached, 0 after a lookup (owners.go). What a reader does not
// know it skips: bytes behind the known fields of a header or body, extensions,
// envelopes of an unknown kind. Another version is not read at all. Version 1 had no
// seal.
const batchVersion = 2

// kind tells what an envelope carries.
type kind uint8

const (
	kindVoid      kind = iota // a number whose message has met its deadline
	kindMessage               // a message for an address
	kindClaimed               // the sender owns the address too, or would; refused where nobody does
	kindReplaced              // the sender has taken the address over
	kindReceipt               // what became of one message, beside the acknowledgement
	kindProbe                 // a node's proof that it hears itself
	kindPruned                // the sender took the receiving node for dead and removed entries of it
	kindWithdrawn             // the number of a message that is not sent again; refused where it was not received

	kinds = iota
)

var kindNames = [kinds]string{"void", "message", "claimed", "replaced", "receipt", "probe", "pruned", "withdrawn"}

// Flags of a message.
const (
	flagFirst     = 1 << 0 // follows no unanswered message for this address
	flagReceipt   = 1 << 1 // somebody waits for the outcome
	flagConfirm   = 1 << 2 // the receiver is asked to acknowledge
	flagDroppable = 1 << 3 // a slow receiver's queue may drop it
	flagDelivered = 1 << 4 // a session elsewhere has it: newer ones are not owed it
)

// tagContent marks the extension that says what a repeat of the message would have
// in common with it (dedup.go).
const tagContent = 1

// maxHops bounds how often a message is sent to owners that may be stale.
const maxHops = 4

// refusal is how an owner answers a message that it did not deliver.
type refusal uint8

const (
	refusedNotHere    refusal = 1 + iota // it does not hold the address
	refusedJoining                       // it is just claiming it: try again soon
	refusedOverloaded                    // every session's queue was full
	refusedStale                         // it may not know all owners that there are
)

// maxExceptions bounds those of an acknowledgement: a receiver with maxRefused of them
// takes no further batch (inlink.takes), and its last one had no more than a window.
const maxExceptions = maxRefused + maxWindow + 1

// exception is one number of an acknowledgement that was not delivered.
type exception struct {
	seq  uint64
	code refusal
}

// ack acknowledges the peer's link up to a number, with exceptions.
type ack struct {
	link       uint64
	upTo       uint64
	exceptions []exception
}

// header begins a batch.
type header struct {
	from  string
	link  uint64
	first uint64
	base  uint64
	ack   ack

	sealed bool // there is room for a MAC
}

var (
	errMalformed = errors.New("malformed batch")
	errVersion   = errors.New("batch of another version")
)

func appendStr[S string | []byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendHeader begins a batch in b, with room for a MAC if it is to be signed. The
// header holds few bytes, so its length is measured by writing it.
func appendHeader(b []byte, h *header) []byte {
	b = append(b, batchVersion, sealNone)
	if h.sealed {
		var mac [macSize]byte
		b[len(b)-1] = sealMAC
		b = append(b, mac[:]...)
	}
	var room [512]byte
	body := appendStr(room[:0], h.from)
	body = binary.LittleEndian.AppendUint64(body, h.link)
	body = binary.AppendUvarint(body, h.first)
	body = binary.AppendUvarint(body, h.base)
	body = binary.LittleEndian.AppendUint64(body, h.ack.link)
	body = binary.AppendUvarint(body, h.ack.upTo)
	body = binary.AppendUvarint(body, uint64(len(h.ack.exceptions)))
	for _, e := range h.ack.exceptions {
		body = binary.AppendUvarint(body, e.seq)
		body = append(body, byte(e.code))
	}
	return appendStr(b, body)
}

func uvarintLen(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func strLen(n int) int { return uvarintLen(uint64(n)) + n }

// appendMessage appends m as an envelope.
func appendMessage(b []byte, m *Message, flags, hops byte, accepted int64, believed ownerSet) []byte {
	size := 1 + 2 + 8 + uvarintLen(m.ID.Count) + uvarintLen(uint64(accepted)) + 8 +
		strLen(len(m.From)) + strLen(len(m.To)) + strLen(len(m.Data))
	if m.contentHash != 0 {
		size += 1 + strLen(8)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, byte(kindMessage), flags, hops)
	b = binary.LittleEndian.AppendUint64(b, m.ID.Origin)
	b = binary.AppendUvarint(b, m.ID.Count)
	b = binary.AppendUvarint(b, uint64(accepted))
	b = binary.LittleEndian.AppendUint64(b, uint64(believed))
	b = appendStr(b, m.From)
	b = appendStr(b, m.To)
	b = appendStr(b, m.Data)
	if m.contentHash != 0 {
		b = append(b, tagContent, 8)
		b = binary.LittleEndian.AppendUint64(b, m.contentHash)
	}
	return b
}

// appendBare appends an envelope without a body.
func appendBare(b []byte, k kind) []byte { return append(b, 1, byte(k)) }

func appendClaimed(b []byte, address string) []byte {
	b = binary.AppendUvarint(b, uint64(1+strLen(len(address))))
	b = append(b, byte(kindClaimed))
	return appendStr(b, address)
}

func appendReplaced(b []byte, address, token string) []byte {
	b = binary.AppendUvarint(b, uint64(1+strLen(len(address))+strLen(len(token))))
	b = append(b, byte(kindReplaced))
	b = appendStr(b, address)
	return appendStr(b, token)
}

func appendReceipt(b []byte, id MessageID, o Outcome, client string) []byte {
	b = binary.AppendUvarint(b, uint64(1+8+uvarintLen(id.Count)+1+strLen(len(client))))
	b = append(b, byte(kindReceipt))
	b = binary.LittleEndian.AppendUint64(b, id.Origin)
	b = binary.AppendUvarint(b, id.Count)
	b = append(b, byte(o))
	return appendStr(b, client)
}

func appendWithdrawn(b []byte, id MessageID) []byte {
	b = binary.AppendUvarint(b, uint64(1+8+uvarintLen(id.Count)))
	b = append(b, byte(kindWithdrawn))
	b = binary.LittleEndian.AppendUint64(b, id.Origin)
	return binary.AppendUvarint(b, id.Count)
}

func appendProbe(b []byte, count uint64) []byte {
	b = binary.AppendUvarint(b, uint64(1+uvarintLen(count)))
	b = append(b, byte(kindProbe))
	return binary.AppendUvarint(b, count)
}

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

// readHeader takes the header off what a signer has opened and returns the envelopes
// behind it.
func readHeader(opened string) (h header, envelopes string, err error) {
	r := reader{rest: opened}
	body := reader{rest: r.str()}
	h.from = body.str()
	h.link = body.uint64()
	h.first = body.uvarint()
	h.base = body.uvarint()
	h.ack.link = body.uint64()
	h.ack.upTo = body.uvarint()
	n := body.uvarint()
	if n > uint64(len(body.rest))/2 || n > maxExceptions { // an exception has two bytes at least, and 16 once read
		return h, "", errMalformed
	}
	for range n {
		e := exception{seq: body.uvarint(), code: refusal(body.byte())}
		h.ack.exceptions = append(h.ack.exceptions, e)
	}
	if r.bad || body.bad || h.from == "" || len(h.from) > MaxAddress {
		return h, "", errMalformed
	}
	return h, r.rest, nil
}

// envelope is one envelope as read: its kind and its body.
type envelope struct {
	kind kind
	body string
}

// next takes one envelope off the batch.
func (r *reader) next() envelope {
	body := r.str()
	if r.bad || body == "" {
		r.fail()
		return envelope{}
	}
	return envelope{kind(body[0]), body[1:]}
}

// wellFormed tells whether every envelope of a batch can be cut, so that a batch
// is taken whole or not at all.
func wellFormed(envelopes string) (n int, ok bool) {
	r := reader{rest: envelopes}
	for ; r.rest != ""; n++ {
		if r.next(); r.bad {
			return 0, false
		}
	}
	return n, true
}

// arrival is a message as read, with what only nodes see of it.
type arrival struct {
	Message
	flags    byte
	hops     byte
	accepted int64 // Unix µs
	believed ownerSet
}

// message reads a message's body. Its strings and data are parts of the body.
func (e envelope) message() (a arrival, ok bool) {
	r := reader{rest: e.body}
	a.flags, a.hops = r.byte(), r.byte()
	a.Confirm, a.Droppable = a.flags&flagConfirm != 0, a.flags&flagDroppable != 0
	a.ID = MessageID{Origin: r.uint64(), Count: r.uvarint()}
	a.accepted = int64(r.uvarint())
	a.believed = ownerSet(r.uint64())
	if a.flags&flagDelivered != 0 {
		a.since = a.accepted
	}
	a.From, a.To = r.str(), r.str()
	a.Data = bytesOf(r.str())
	for r.rest != "" {
		tag, value := r.byte(), reader{rest: r.str()}
		if tag == tagContent {
			a.contentHash = value.uint64()
		}
	}
	return a, !r.bad
}
