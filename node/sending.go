package node

import (
	"sync/atomic"

	"github.com/beeline-ws/beeline/router"
)

// A session is not read further while more of its messages than these have no
// outcome; TCP then slows the client down. Reading goes on at half of them. What
// the engine has read already is still taken: the bound is exceeded by at most
// one of its buffers.
const (
	maxInFlight      = 512
	maxInFlightBytes = 1 << 20
)

// Messages that are to be confirmed may take half of that: 256 of them, or 512 KiB. They
// are counted in units, of which each has one for every 256 bytes, and eight at least.
const (
	confirmUnit  = 256
	maxUnits     = maxInFlightBytes / 2 / confirmUnit
	leastUnits   = maxUnits / (maxInFlight / 2)
	unitsShift   = 19
	messagesMask = 1<<unitsShift - 1
	unitsMask    = 2*maxUnits - 1
	pausedBit    = 1 << 31
)

// inFlight counts a session's messages without outcome.
type inFlight struct {
	// counts are the messages, from unitsShift on the units of those to be confirmed, and
	// in pausedBit whether the engine waits for resume.
	counts atomic.Uint32
	bytes  atomic.Int32
}

func (f *inFlight) paused() bool { return f.counts.Load()&pausedBit != 0 }

func (f *inFlight) pause() { f.counts.Or(pausedBit) }

// unpause reports whether the engine was waiting.
func (f *inFlight) unpause() bool { return f.counts.And(^uint32(pausedBit))&pausedBit != 0 }

func (f *inFlight) messages() int { return int(f.counts.Load() & messagesMask) }

func (f *inFlight) above(messages int, bytes int32) bool {
	return f.messages() > messages || f.bytes.Load() > bytes
}

// add counts a message of so many units, remove what add has counted.
func (f *inFlight) add(units uint32, size int) {
	f.counts.Add(1 + units<<unitsShift)
	f.bytes.Add(int32(size))
}

func (f *inFlight) remove(units uint32, size int) {
	f.counts.Add(-(1 + units<<unitsShift))
	f.bytes.Add(-int32(size))
}

// unitsOf returns what a message takes of the room of those to be confirmed. One alone may
// have any size.
func unitsOf(m *router.Message) uint32 {
	if !m.Confirm {
		return 0
	}
	return uint32(min(max((len(m.Data)+confirmUnit-1)/confirmUnit, leastUnits), maxUnits))
}

// hasUnits reports whether there is room for so many more.
func (f *inFlight) hasUnits(units uint32) bool {
	taken := f.counts.Load() >> unitsShift & unitsMask
	return units == 0 || taken == 0 || taken+units <= maxUnits
}

// full tells the engine, before each read, whether to wait for resume.
func (s *session) full() bool {
	f := &s.inFlight
	if !f.above(maxInFlight, maxInFlightBytes) {
		return false
	}
	f.pause() // before the look, or an outcome in between is missed
	if !s.isClosing() && f.above(maxInFlight, maxInFlightBytes) {
		return true
	}
	f.unpause()
	return false
}

// sending is a message of this node's session on its way to an outcome.
type sending struct {
	session *session
	size    int // bytes it counts as
	units   uint32
	id      []byte // the client's, as it came; empty: it wants no receipt
	done    func(router.MessageID, router.Outcome)
}

func newSending() *sending {
	x := new(sending)
	x.done = x.finish // once, so that a send allocates no closure
	return x
}

// send takes a message to the router. Whether the client wants a receipt or not,
// the message counts until it has its outcome.
//
// One that is to be confirmed waits for another client. If such ones could fill
// what may be in flight, the session would not be read meanwhile, nor its acks:
// two clients that write to each other would wait for nothing. So they may take
// half of it, and are refused as overloaded beyond; one alone may have any size,
// and counts as half of it at most. What waits without a confirmation, as for a node that
// stands still, leaves them their half.
//
// A session with half of what may be in flight is crowded: more for a receiver whose node
// does not answer is overloaded. Otherwise the session would not be read any more, although
// its other messages could be delivered.
func (s *session) send(m router.Message) {
	f := &s.inFlight
	size := len(m.Data)
	if m.Confirm {
		size = min(size, maxInFlightBytes/2)
	}
	units := unitsOf(&m)
	if !f.hasUnits(units) {
		s.node.counts.drops[dropUnacked].Inc()
		s.receipt(m.Ref, router.Overloaded, "")
		return
	}
	m.From = s.client
	if f.above(maxInFlight/2, maxInFlightBytes/2) {
		m.Crowded = true
	}
	x := s.node.sends.Get().(*sending)
	x.session, x.size, x.units, x.id = s, size, units, append(x.id[:0], m.Ref...)
	f.add(units, size)
	s.node.router.Send(m, x.done)
}

func (x *sending) finish(_ router.MessageID, outcome router.Outcome) {
	s := x.session
	s.countOutcome(x.units, x.size) // before the client can have its receipt, and send again
	if len(x.id) > 0 {
		s.receipt(x.id, outcome, "")
	}
	x.session = nil
	s.node.sends.Put(x)
}

// receipt tells the client what became of the message that it called id.
func (s *session) receipt(id []byte, outcome router.Outcome, reason string) {
	b := s.node.buffer()
	defer s.node.release(b)
	b.b = s.protocol.appendReceipt(b.b, id, outcome, reason)
	s.reply(s.protocol.traits().sends, b.b)
}

// countOutcome counts an outcome, and has the engine read on if it waits for that.
func (s *session) countOutcome(units uint32, size int) {
	f := &s.inFlight
	f.remove(units, size)
	if !f.paused() || f.above(maxInFlight/2, maxInFlightBytes/2) || !f.unpause() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire != nil {
		s.wire.resume()
	}
}
