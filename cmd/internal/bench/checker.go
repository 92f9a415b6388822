package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// What a checker knows of a message, as bits.
const (
	wasSent uint32 = 1 << iota
	wasReceived
	wantsReceipt
	wasAnswered
	saidDelivered
	saidOffline
	saidGone // refused: overloaded or rejected
	toNobody // its receiver is not connected, and never was
	wasCut   // its sender's connection ended under it
)

const (
	chunkSize = 1 << 16
	maxChunks = 1 << 12
	// maxFaults bounds the faults that are described; the others are counted.
	maxFaults = 5
)

// record is what is known of a message. It is written before wasSent is set and
// read after it was seen.
type record struct {
	from, to uint32
	session  uint32 // the sender's
	sent     int64  // nanoseconds since the fleet began
	latency  atomic.Int64
	answered atomic.Int64 // when the receipt came
	bits     atomic.Uint32
}

// checker knows every message of a point and finds what went wrong: a message that
// was lost, duplicated, misordered, misrouted or misanswered. All methods may be called
// from many goroutines.
type checker struct {
	// unsure says that the nodes can't know whether a receiver is connected: a message to nobody
	// may time out.
	unsure bool

	next   atomic.Uint32
	chunks [maxChunks]atomic.Pointer[[chunkSize]record]

	received, answered                             atomic.Int64
	duplicated, misordered, misrouted, misanswered atomic.Int64

	mu     sync.Mutex
	faults []string
}

// count returns how many messages there were; the next one has this number.
func (c *checker) count() uint32 { return c.next.Load() }

// send takes a message that is about to be sent, and returns its number.
func (c *checker) send(from, to, session uint32, at int64, bits uint32) uint32 {
	seq := c.next.Add(1) - 1
	chunk := &c.chunks[seq/chunkSize%maxChunks]
	if chunk.Load() == nil {
		chunk.CompareAndSwap(nil, new([chunkSize]record))
	}
	r := &chunk.Load()[seq%chunkSize]
	r.from, r.to, r.session, r.sent = from, to, session, at
	r.bits.Store(wasSent | bits)
	return seq
}

// find returns a message that was sent, or nil.
func (c *checker) find(seq uint32) *record {
	chunk := c.chunks[seq/chunkSize%maxChunks].Load()
	if chunk == nil {
		return nil
	}
	if r := &chunk[seq%chunkSize]; r.bits.Load()&wasSent != 0 {
		return r
	}
	return nil
}

// inbox is the order in which one session received. It is its reader's alone.
type inbox struct {
	client uint32
	last   map[uint32]uint32 // of each sender's session: the last message
	seen   map[uint32]bool   // nil: a client has one session at a time
}

// receive takes a message that a session received at a time, in nanoseconds since
// the fleet began. It reports whether it is a message as it should be.
func (c *checker) receive(in *inbox, s stamp, at int64) bool {
	r := c.find(s.seq)
	switch {
	case r == nil || r.from != s.from || r.to != s.to:
		c.misrouted.Add(1)
		c.fault("client %d received message %d, which nobody sent", in.client, s.seq)
		return false
	case s.to != in.client:
		c.misrouted.Add(1)
		c.fault("client %d received message %d, which was for client %d", in.client, s.seq, s.to)
		return false
	}
	before := r.bits.Or(wasReceived)
	if before&wasReceived != 0 && (in.seen == nil || in.seen[s.seq]) {
		c.duplicated.Add(1)
		c.fault("client %d received message %d from client %d twice", in.client, s.seq, s.from)
		return false
	}
	if in.seen != nil {
		in.seen[s.seq] = true
	}
	if before&wasReceived == 0 {
		r.latency.Store(at - s.due)
		c.received.Add(1)
	}
	if last, ok := in.last[r.session]; ok && s.seq < last {
		c.misordered.Add(1)
		c.fault("client %d received message %d from client %d after message %d", in.client, s.seq, s.from, last)
		return false
	}
	in.last[r.session] = s.seq
	return true
}

// answer takes a receipt that a session got at a time.
func (c *checker) answer(session, seq uint32, outcome string, at int64) {
	r := c.find(seq)
	switch {
	case r == nil || r.bits.Load()&wantsReceipt == 0:
		c.misanswer("a receipt came for message %d, which asked for none", seq)
		return
	case r.session != session:
		c.misanswer("the receipt of message %d, from client %d, came to another session", seq, r.from)
		return
	}
	bits := wasAnswered
	switch outcome {
	case "delivered":
		bits |= saidDelivered
	case "offline":
		bits |= saidOffline
	case "overloaded", "rejected":
		bits |= saidGone
	case "timeout": // it may have arrived or not
	default:
		c.misanswer("message %d has a receipt that says %q", seq, outcome)
	}
	r.answered.Store(at)
	if r.bits.Or(bits)&wasAnswered != 0 {
		c.misanswer("message %d has a second receipt: %s", seq, outcome)
		return
	}
	c.answered.Add(1)
}

func (c *checker) misanswer(format string, args ...any) {
	c.misanswered.Add(1)
	c.fault(format, args...)
}

// fault keeps the first few.
func (c *checker) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

// messages calls f for the messages from first to before end.
func (c *checker) messages(first, end uint32, f func(seq uint32, r *record, bits uint32)) {
	for seq := first; seq < end; seq++ {
		if r := c.find(seq); r != nil {
			f(seq, r, r.bits.Load())
		}
	}
}

// findings is what became of the messages of a window.
type findings struct {
	sent, delivered, offline, lost                 int64
	duplicated, misordered, misrouted, misanswered int64
	latencies                                      []time.Duration // of the delivered ones
	faults                                         []string
}

// connected reports whether a client was connected all the time from then to now. It is
// nil where nothing is disturbed: there everybody is.
type connected func(client uint32, from int64) bool

// judge says what became of the messages from first to before end, when no more are
// under way; faults are those of the messages before, too.
func (c *checker) judge(first, end uint32, stayed connected) findings {
	var f findings
	c.messages(0, end, func(seq uint32, r *record, bits uint32) {
		if what := lost(r, bits, stayed); what != "" {
			f.lost++
			c.fault("message %d from client %d to client %d %s", seq, r.from, r.to, what)
		} else if what := c.whyMisanswered(r, bits, stayed); what != "" {
			f.misanswered++
			c.fault("message %d from client %d to client %d %s", seq, r.from, r.to, what)
		}
		if seq < first {
			return // it was not measured
		}
		f.sent++
		if bits&wasReceived != 0 {
			f.delivered++
			f.latencies = append(f.latencies, time.Duration(r.latency.Load()))
		}
		if bits&saidOffline != 0 && (bits&toNobody != 0 || stayed != nil && !stayed(r.to, r.sent)) {
			f.offline++
		}
	})
	f.duplicated, f.misordered, f.misrouted = c.duplicated.Load(), c.misordered.Load(), c.misrouted.Load()
	f.misanswered += c.misanswered.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	f.faults = append(f.faults, c.faults...)
	return f
}

// lost says why a message should have arrived that did not, or "". Where nothing is
// disturbed every message must; elsewhere what its sender was told decides.
func lost(r *record, bits uint32, stayed connected) string {
	switch {
	case bits&(wasReceived|toNobody) != 0:
		return ""
	case stayed == nil:
		return "is lost"
	case !stayed(r.to, r.sent):
		return ""
	case bits&saidDelivered != 0:
		return "is lost, and its sender was told that it was delivered"
	case bits&saidOffline != 0:
		return "was told to be for somebody offline, who was connected"
	}
	return ""
}

// misanswered says why a sender should have been told something else, or "". A session
// that ended hears nothing any more.
func (c *checker) whyMisanswered(r *record, bits uint32, stayed connected) string {
	switch {
	case bits&wantsReceipt == 0:
		return ""
	case bits&wasAnswered == 0 && bits&wasCut == 0 && (stayed == nil || stayed(r.from, r.sent)):
		return "was never answered"
	case bits&wasAnswered == 0:
		return ""
	case bits&toNobody != 0 && bits&saidOffline == 0 && !(c.unsure && bits&(saidDelivered|saidGone) == 0):
		return "was for nobody, and its sender was not told so"
	case bits&wasReceived != 0 && bits&saidOffline != 0:
		return "arrived, and its sender was told that nobody was there"
	case bits&wasReceived != 0 && bits&saidGone != 0:
		return "arrived, and its sender was told that it was refused"
	}
	return ""
}

// cut takes back a message that could not be written.
func (c *checker) cut(seq uint32) { c.find(seq).bits.Or(wasCut) }
