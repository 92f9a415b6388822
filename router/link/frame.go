package link

// Payload is what a frame carries. The link never looks into it.
type Payload interface {
	// Append appends the frame's envelope to b and returns which kind it is. It is called
	// each time that the frame is published, and may append something shorter than the
	// last time, such as a bare KindVoid when nobody waits for the frame any more.
	Append(b []byte, f *Frame) ([]byte, Kind)
}

// Frame is one number of a link: what travels under it, and what becomes of it.
type Frame struct {
	Payload Payload
	Token   string // the caller's, given back when the frame is settled
	Size    int    // what it counts in the budget, in bytes
	First   bool   // it follows no unanswered frame for its address
	Urgent  bool   // somebody waits for its acknowledgement

	// Withdrawn says that the frame was lost although Redis had a subscriber for it, and is
	// too large to be lost again: its place is taken by an envelope of KindWithdrawn.
	Withdrawn bool
	large     bool // Redis had a subscriber for it, and it is large
}

// AckResult is what became of a frame.
type AckResult uint8

// The results of frames.
const (
	AckDelivered  AckResult = iota
	AckOverloaded           // its receiver's queues were full
	AckNoRoom               // there was no room for it at its sender's node; no link says so
	AckTooLarge             // it was withdrawn, and its receiver did not have it
	AckNotHere              // the peer does not hold the address
	AckStale                // it does, but maybe not with the others that the sender assumes
	AckJoining              // the peer is just claiming the address
	AckDead                 // the peer died and can't have received it
	AckUnknown              // the peer died, or is a newer node: it may have arrived
)

var ackNames = [...]string{"delivered", "overloaded", "no room", "too large", "not here", "stale", "joining", "dead", "unknown"}

// String returns the result's name.
func (r AckResult) String() string { return ackNames[r] }

// Result returns what a nack means for the sender. One of a newer node's, which is not
// known here, says nothing.
func (c NackCode) Result() AckResult {
	switch c {
	case NackNotHere:
		return AckNotHere
	case NackStale:
		return AckStale
	case NackJoining:
		return AckJoining
	case NackOverloaded:
		return AckOverloaded
	}
	return AckUnknown
}

// Settled is a frame that has its result: the link does not know it any more.
type Settled struct {
	Payload Payload
	Token   string
	Result  AckResult
}

// ackRequest asks the peer to acknowledge what was sent before. Its own result is
// nobody's business.
type ackRequest struct{}

func (ackRequest) Append(b []byte, _ *Frame) ([]byte, Kind) { return AppendBare(b, KindVoid), KindVoid }

// window is the frames from base to before end, in a ring of a power of two.
type window struct {
	base, end uint64
	ring      []Frame
}

func (w *window) len() int { return int(w.end - w.base) }

// at returns the frame with that number, which is in the window.
func (w *window) at(seq uint64) *Frame { return &w.ring[seq&uint64(len(w.ring)-1)] }

func (w *window) push(f Frame) {
	if w.len() == len(w.ring) {
		w.grow()
	}
	*w.at(w.end) = f
	w.end++
}

func (w *window) grow() {
	larger := window{base: w.base, end: w.end, ring: make([]Frame, max(2*len(w.ring), 8))}
	for seq := w.base; seq < w.end; seq++ {
		*larger.at(seq) = *w.at(seq)
	}
	*w = larger
}

// pop removes the first frame.
func (w *window) pop() Frame {
	first := w.at(w.base)
	f := *first
	*first = Frame{}
	w.base++
	if w.base == w.end && len(w.ring) > maxKeptRing {
		w.ring = nil
	}
	return f
}
