package node

import (
	"sync/atomic"

	"github.com/gobwas/ws"

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

// inFlight counts a session's messages without outcome.
type inFlight struct {
	messages atomic.Int32
	bytes    atomic.Int32
	paused   atomic.Bool // the engine waits for resume
}

func (f *inFlight) above(messages, bytes int32) bool {
	return f.messages.Load() > messages || f.bytes.Load() > bytes
}

// full tells the engine, before each read, whether to wait for resume.
func (s *session) full() bool {
	f := &s.inFlight
	if !f.above(maxInFlight, maxInFlightBytes) {
		return false
	}
	f.paused.Store(true) // before the look, or an outcome in between is missed
	if !s.closing.Load() && f.above(maxInFlight, maxInFlightBytes) {
		return true
	}
	f.paused.Store(false)
	return false
}

// sending is a message of this node's session on its way to an outcome.
type sending struct {
	session *session
	size    int    // bytes it counts as
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
// and counts as half of it at most.
func (s *session) send(m router.Message) {
	f := &s.inFlight
	size := len(m.Data)
	if m.Confirm {
		size = min(size, maxInFlightBytes/2)
	}
	if m.Confirm && f.messages.Load() > 0 && f.above(maxInFlight/2-1, int32(maxInFlightBytes/2-size)) {
		s.node.counts.drops[dropUnacked].Inc()
		s.receipt(m.Ref, router.Overloaded, "")
		return
	}
	m.From = s.client
	if f.above(maxInFlight/2, maxInFlightBytes/2) && s.node.opts.Delivery == router.Targeted {
		m.Receipt = true // soon the session will wait for outcomes
	}
	x := s.node.sends.Get().(*sending)
	x.session, x.size, x.id = s, size, append(x.id[:0], m.Ref...)
	f.messages.Add(1)
	f.bytes.Add(int32(x.size))
	s.node.router.Send(m, x.done)
}

func (x *sending) finish(_ router.MessageID, outcome router.Outcome) {
	s := x.session
	s.settle(x.size) // before the client can have its receipt, and send again
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
	s.reply(ws.OpText, b.b)
}

// settle counts an outcome, and has the engine read on if it waits for that.
func (s *session) settle(size int) {
	f := &s.inFlight
	f.messages.Add(-1)
	f.bytes.Add(-int32(size))
	if !f.paused.Load() || f.above(maxInFlight/2, maxInFlightBytes/2) || !f.paused.CompareAndSwap(true, false) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wire != nil {
		s.wire.resume()
	}
}
