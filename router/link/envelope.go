package link

import "encoding/binary"

// What travels in one PUBLISH is a batch of envelopes from one node:
//
//	batch    = version:1 seal:1 mac uvarint(len(header)) header envelope*
//	mac      = 16 bytes if seal is 1, none if it is 0 (seal.go)
//	header   = str(from) link:8 uvarint(first) uvarint(base) ack more*
//	ack      = ackLink:8 uvarint(upTo) uvarint(n) { uvarint(sequence) code:1 }*n
//	envelope = uvarint(len) kind:1 body
//	message  = flags:1 hops:1 origin:8 uvarint(count) uvarint(accepted)
//	           owners:8 str(from) str(to) str(data) extension*
//	claimed  = str(address) more*
//	replaced = str(address) str(token) more*
//	receipt  = origin:8 uvarint(count) outcome:1 str(client) more*
//	probe    = uvarint(count) more*
//	pruned   = more*
//	withdrawn = origin:8 uvarint(count) more*
//	extension = tag:1 str(value); tag 1: hash:8
//	str      = uvarint(len) bytes
//
// Fixed-size numbers are little-endian. link is the sender's number for this life
// of the link, larger than those of its former lives, 0 for envelopes that are not
// numbered (probes, and the baselines' channels). first is the sequence of the
// batch's first envelope, base the lowest that the sender has no acknowledgement
// for. accepted is in Unix microseconds. owners is the set of owners that the
// sender's node assumes without a lookup, 0 after one. What a reader does not
// know it skips: bytes behind the known fields of a header or body, extensions,
// envelopes of an unknown kind. Another version is not read at all. Version 1 had no
// seal.

// Version is the version of the batches that are written and read here.
const Version = 2

// Kind says what an envelope carries.
type Kind uint8

// The kinds of envelopes.
const (
	KindVoid      Kind = iota // a number whose message has met its deadline, or a request for an acknowledgement
	KindMessage               // a message for an address
	KindClaimed               // the sender owns the address too, or would; refused where nobody does
	KindReplaced              // the sender has taken the address over
	KindReceipt               // what became of one message, beside the acknowledgement
	KindProbe                 // a node's proof that it hears itself
	KindPruned                // the sender took the receiving node for dead and removed entries of it
	KindWithdrawn             // the number of a message that is not sent again; refused where it was not received

	// Kinds is how many kinds there are. What has a higher one is of a newer node.
	Kinds = iota
)

var kindNames = [Kinds]string{"void", "message", "claimed", "replaced", "receipt", "probe", "pruned", "withdrawn"}

// String returns the kind's name, as metrics have it.
func (k Kind) String() string {
	if k >= Kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Flags of a message.
const (
	FlagFirst     = 1 << 0 // follows no unanswered message for this address
	FlagReceipt   = 1 << 1 // somebody waits for the outcome
	FlagConfirm   = 1 << 2 // the receiver is asked to acknowledge
	FlagDroppable = 1 << 3 // a slow receiver's queue may drop it
	FlagDelivered = 1 << 4 // a session elsewhere has it: newer ones are not owed it
)

// tagContentHash marks the extension that says what a repeat of the message would have
// in common with it.
const tagContentHash = 1

// MessageID names a message in the whole cluster: the sending node's random origin and
// a count.
type MessageID struct{ Origin, Count uint64 }

// Message is a message as it travels.
type Message struct {
	ID          MessageID
	From, To    string
	Data        []byte
	Flags       byte
	Hops        byte   // how often it was sent to owners that a lookup named
	Accepted    int64  // by its sender's node, in Unix µs
	Owners      uint64 // the set of owners that its sender's node assumes; 0 after a lookup
	ContentHash uint64 // 0: it can't be told from its repeats
}

func appendStr[S string | []byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func uvarintLen(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func strLen(n int) int { return uvarintLen(uint64(n)) + n }

// AppendMessage appends m as an envelope.
func AppendMessage(b []byte, m *Message) []byte {
	size := 1 + 2 + 8 + uvarintLen(m.ID.Count) + uvarintLen(uint64(m.Accepted)) + 8 +
		strLen(len(m.From)) + strLen(len(m.To)) + strLen(len(m.Data))
	if m.ContentHash != 0 {
		size += 1 + strLen(8)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, byte(KindMessage), m.Flags, m.Hops)
	b = binary.LittleEndian.AppendUint64(b, m.ID.Origin)
	b = binary.AppendUvarint(b, m.ID.Count)
	b = binary.AppendUvarint(b, uint64(m.Accepted))
	b = binary.LittleEndian.AppendUint64(b, m.Owners)
	b = appendStr(b, m.From)
	b = appendStr(b, m.To)
	b = appendStr(b, m.Data)
	if m.ContentHash != 0 {
		b = append(b, tagContentHash, 8)
		b = binary.LittleEndian.AppendUint64(b, m.ContentHash)
	}
	return b
}

// AppendBare appends an envelope that says all by its kind.
func AppendBare(b []byte, k Kind) []byte { return append(b, 1, byte(k)) }

// AppendClaimed appends the announcement of a claim.
func AppendClaimed(b []byte, address string) []byte {
	b = binary.AppendUvarint(b, uint64(1+strLen(len(address))))
	b = append(b, byte(KindClaimed))
	return appendStr(b, address)
}

// AppendReplaced appends the announcement that the claim of that token was replaced.
func AppendReplaced(b []byte, address, token string) []byte {
	b = binary.AppendUvarint(b, uint64(1+strLen(len(address))+strLen(len(token))))
	b = append(b, byte(KindReplaced))
	b = appendStr(b, address)
	return appendStr(b, token)
}

// AppendReceipt appends what became of a message to client.
func AppendReceipt(b []byte, id MessageID, outcome byte, client string) []byte {
	b = binary.AppendUvarint(b, uint64(1+8+uvarintLen(id.Count)+1+strLen(len(client))))
	b = append(b, byte(KindReceipt))
	b = binary.LittleEndian.AppendUint64(b, id.Origin)
	b = binary.AppendUvarint(b, id.Count)
	b = append(b, outcome)
	return appendStr(b, client)
}

// AppendWithdrawn appends that a message is not sent again.
func AppendWithdrawn(b []byte, id MessageID) []byte {
	b = binary.AppendUvarint(b, uint64(1+8+uvarintLen(id.Count)))
	b = append(b, byte(KindWithdrawn))
	b = binary.LittleEndian.AppendUint64(b, id.Origin)
	return binary.AppendUvarint(b, id.Count)
}

// AppendProbe appends a probe.
func AppendProbe(b []byte, count uint64) []byte {
	b = binary.AppendUvarint(b, uint64(1+uvarintLen(count)))
	b = append(b, byte(KindProbe))
	return binary.AppendUvarint(b, count)
}
