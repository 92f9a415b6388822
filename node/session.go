package node

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// protocol is what the sessions of a path speak inside of WebSocket messages.
// Payloads are appended to what is given.
type protocol interface {
	// subprotocol is what is chosen if the client offers it.
	subprotocol() string
	// receive takes a message. An error, a closeReason, closes the session.
	receive(s *session, text []byte) error
	appendWelcome(b []byte, s *session) []byte
	// messageSize is what appendMessage will append, in bytes.
	messageSize(m *router.Message) int
	appendMessage(b []byte, m *router.Message) []byte
	appendReceipt(b, id []byte, outcome router.Outcome, reason string) []byte
	appendBye(b []byte, c *closing) []byte
}

// session is one WebSocket connection of a client. It is passive: the engine
// feeds it with bytes and writes what it queues.
type session struct {
	// Static.
	node     *Node
	id       string
	client   string
	protocol protocol

	// Owned by the reading side.
	frames frames
	broken bool   // the stream can't be read further
	lastTo string // the address of the last message, which the next one often has

	// Owned by the sweep.
	pinged time.Duration // on the node's clock

	// Shared.
	heard    atomic.Int64 // when the last byte came, on the node's clock
	closing  atomic.Bool  // reason is not stillOpen
	inFlight inFlight

	// Guarded by mu.
	mu         sync.Mutex
	out        outbox
	wire       wire        // nil until attached
	reason     closeReason // why it closes
	member     bool        // joined the router
	left       bool        // and left it again
	failed     bool        // the peer's bytes are not understood any more
	peerClosed bool        // the peer's close frame came
	over       bool        // the engine has let go of it
	grace      *time.Timer // bounds the closing

	index int // in the table, guarded by the table's lock
}

// sessionIDBytes makes a session's ID unguessable.
const sessionIDBytes = 12

func newSession(n *Node, p protocol, client string) *session {
	s := &session{node: n, id: randomHex(sessionIDBytes), client: client, protocol: p}
	s.heard.Store(int64(n.clock()))
	return s
}

// greet queues the welcome.
func (s *session) greet() {
	b := s.node.buffer()
	defer s.node.release(b)
	b.b = s.protocol.appendWelcome(b.b, s)
	s.reply(ws.OpText, b.b)
}

// attach gives the session its connection. From now on the engine ends it.
func (s *session) attach(conn net.Conn, leftover []byte) {
	s.heard.Store(int64(s.node.clock()))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node.counts.Sessions.Inc()
	s.wire = s.node.engine.add(s, conn, leftover)
	s.flush()
	if s.reason != stillOpen {
		s.startGrace()
	}
}

// receive takes bytes as they came from the client, and may change them. An
// error, a closeReason, says that the stream can't be read further: the session
// is closing, and what still comes is thrown away.
func (s *session) receive(b []byte) error {
	s.node.counts.ReceivedBytes.Add(float64(len(b)))
	s.heard.Store(int64(s.node.clock()))
	if s.broken {
		return nil
	}
	err := s.frames.feed(b, s.node.opts.MaxMessage, s)
	if err != nil {
		s.broken = true
		s.frames = frames{}
		s.fail(err)
	}
	return err
}

// message takes a whole message. Those behind a close are ignored.
func (s *session) message(text []byte) error {
	if s.closing.Load() {
		return nil
	}
	return s.protocol.receive(s, text)
}

// control takes a control frame.
func (s *session) control(op ws.OpCode, payload []byte) error {
	switch op {
	case ws.OpClose:
		return s.hearClose(payload)
	case ws.OpPing:
		s.reply(ws.OpPong, payload)
	}
	return nil
}

// Deliver queues m for the client, or counts why not: the session is closing, or
// there is no room; see admit.
func (s *session) Deliver(m *router.Message) router.Outcome {
	size := s.protocol.messageSize(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch drop := s.admit(frameSize(size), false); drop {
	case "":
	case dropClosing:
		s.node.counts.drops[drop].Inc()
		return router.Offline
	default:
		s.node.counts.drops[drop].Inc()
		return router.Overloaded
	}
	b := s.out.frame(&s.node.pools, ws.OpText, size)
	b.b = s.protocol.appendMessage(b.b, m)
	s.flush()
	return router.Delivered
}

// reply queues an answer of the node itself. Without room for it the session
// closes, or is closing already.
func (s *session) reply(op ws.OpCode, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admit(frameSize(len(payload)), true) != "" {
		return
	}
	s.queue(op, payload)
	s.flush()
}

// admit takes room for a frame of size bytes, or says why there is none.
//
// The slow-consumer rule: a session whose queue would exceed MaxQueue is closed
// with 1008, because what it misses from now on it could not know; the sender of
// the message is told overloaded. When the queues of all sessions together would
// exceed MaxQueueTotal, a message is refused and its session stays, for it need
// not be the one that fills them; an answer is let through to a session whose
// queue is empty, and closes one whose queue is not.
func (s *session) admit(size int, answer bool) (drop string) {
	waiting := s.out.size()
	switch {
	case s.reason != stillOpen:
		return dropClosing
	case size > s.node.opts.MaxQueue:
		return dropTooBig
	case waiting+size > s.node.opts.MaxQueue:
		s.shut(closedSlow, nil)
		return dropSlow
	}
	if s.node.countQueued(size) <= int64(s.node.opts.MaxQueueTotal) {
		return ""
	}
	switch {
	case answer && waiting == 0:
		return ""
	case answer:
		s.node.countQueued(-size)
		s.shut(closedSlow, nil)
		return dropSlow
	}
	s.node.countQueued(-size)
	return dropTotal
}

// countQueued changes the number of bytes in all queues and returns it.
func (n *Node) countQueued(size int) int64 {
	n.counts.QueuedBytes.Add(float64(size))
	return n.queued.Add(int64(size))
}

// queue appends a frame, for which there is room.
func (s *session) queue(op ws.OpCode, payload []byte) {
	b := s.out.frame(&s.node.pools, op, len(payload))
	b.b = append(b.b, payload...)
}

// flush calls the engine if there is something to write and nobody does.
func (s *session) flush() {
	if s.wire == nil || s.over || s.out.busy || s.out.waiting == nil {
		return
	}
	s.out.busy = true
	s.wire.flush()
}

// takeOutput gives the engine what is to be written next, or nil and what to do
// with the connection now.
func (s *session) takeOutput() (*buffer, after) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.out.take(); b != nil {
		return b, afterNothing
	}
	s.out.busy = false
	switch {
	case s.reason == stillOpen:
		return nil, afterNothing
	case s.peerClosed:
		return nil, afterCut
	case s.failed:
		return nil, afterEndOutput
	}
	return nil, afterNothing
}

// wrote takes a buffer back that was written, or could not be.
func (s *session) wrote(b *buffer) {
	s.node.counts.SentBytes.Add(float64(len(b.b)))
	s.mu.Lock()
	s.out.writing = 0
	s.mu.Unlock()
	s.node.countQueued(-len(b.b))
	s.node.release(b)
}
