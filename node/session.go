package node

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// session is one WebSocket connection of a client. It is passive: the engine
// feeds it with bytes and writes what it queues.
//
// An idle session is this struct, the client's name, the engine's wire, and its
// places in the table and in the router; TestSizeOfASession counts the bytes. The
// fields are ordered to leave no holes.
type session struct {
	// Static.
	node     *Node
	protocol protocol
	client   string

	special *special // nil: nothing; static once it has joined

	// Owned by the reading side.
	lastTo string  // the address of the last message, which the next one often has
	frames *frames // nil between messages

	// Guarded by mu.
	out        outbox
	wire       wire // nil until attached
	membership membership
	peer       peerState
	conn       connState

	broken bool // the stream can't be read further; owned by the reading side
	mu     sync.Mutex

	// Shared.
	reason   atomicReason // why it closes; written with mu held
	inFlight inFlight
	heard    atomic.Uint32 // the moment when the last byte came

	pinged moment    // owned by the sweep
	index  int32     // in the table, guarded by the table's lock
	id     sessionID // static; here it leaves no hole
}

// sessionID is unguessable.
type sessionID [12]byte

func (id sessionID) String() string { return hex.EncodeToString(id[:]) }

func newSession(n *Node, p protocol, id *Identity) *session {
	s := &session{node: n, protocol: p, pinged: n.now()}
	if t := p.traits(); t.order == clientFirst || t.memberships > 0 {
		s.special = new(special)
	}
	s.carry(id)
	rand.Read(s.id[:]) // never fails
	s.heard.Store(uint32(s.pinged))
	return s
}

// attach gives the session its connection: plug makes it a wire. The response to
// the handshake goes out before all else, and then the welcome, unless there is
// none. From now on the engine ends the session.
func (s *session) attach(response acceptance, plug func() wire) {
	s.heard.Store(uint32(s.node.now()))
	s.node.sessionLog.open(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node.counts.Sessions.Inc()
	s.greetLocked(response)
	s.wire = plug()
	s.wire.flush(true)
	if s.isClosing() {
		s.startGraceLocked()
	}
}

// greetLocked queues the response and the welcome before what the router has delivered
// already. They are few bytes, sent once, and have no bound.
func (s *session) greetLocked(response acceptance) {
	b := s.node.buffer()
	b.b = response.append(b.b)
	if s.membership != notJoined && s.protocol.traits().order == serverFirst {
		w := s.node.buffer()
		w.b = s.protocol.appendWelcome(w.b, s)
		b.b = append(appendHeader(b.b, s.protocol.traits().sends, len(w.b)), w.b...)
		s.node.release(w)
	}
	s.countLocked(len(b.b))
	s.out.precede(b)
}

// receive takes bytes as they came from the client, and may change them. An
// error, a closeReason, says that the stream can't be read further: the session
// is closing, and what still comes is thrown away.
func (s *session) receive(b []byte) error {
	s.node.counts.ReceivedBytes.Add(float64(len(b)))
	s.heard.Store(uint32(s.node.now()))
	if s.broken {
		return nil
	}
	f := s.frames
	if f == nil {
		f = s.node.pools.frames.Get().(*frames)
	}
	err := f.feed(b, s.node.opts.MaxMessage, s)
	if err == nil && !f.idle() {
		s.keep(f)
		return nil
	}
	s.keep(nil)
	if err != nil {
		s.broken = true
		s.fail(err)
		return err
	}
	f.trim()
	s.node.pools.frames.Put(f)
	return nil
}

// message takes a whole message. Those behind a close are ignored.
func (s *session) message(op ws.OpCode, payload []byte) error {
	if s.isClosing() {
		return nil
	}
	return s.protocol.receive(s, op, payload)
}

func (s *session) accepts(op ws.OpCode) bool { return s.protocol.traits().accepts(op) }

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
// there is no room; see admitLocked.
func (s *session) Deliver(m *router.Message) router.Outcome {
	size := s.protocol.messageSize(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch drop := s.admitLocked(frameSize(size), false); drop {
	case "":
	case dropClosing:
		s.node.counts.drops[drop].Inc()
		return router.Offline
	default:
		if !s.isClosing() {
			s.out.missed++
		}
		s.node.counts.drops[drop].Inc()
		return router.Overloaded
	}
	b := s.out.frame(&s.node.pools, s.protocol.traits().sends, size)
	b.b = s.protocol.appendMessage(b.b, m)
	if m.Droppable {
		s.out.mark(m, frameSize(size))
	}
	s.flushLocked()
	s.rankLocked()
	if s.reason.load() == closedNetwork { // found out by writing
		s.node.counts.drops[dropClosing].Inc()
		return router.Offline
	}
	return router.Delivered
}

// reply queues an answer of the node itself. Without room for it the session
// closes, or is closing already.
func (s *session) reply(op ws.OpCode, payload []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admitLocked(frameSize(len(payload)), true) != "" {
		return
	}
	s.queueLocked(op, payload)
	s.flushLocked()
	s.rankLocked()
}
