package node

import (
	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// endpoint is a path at which clients connect.
type endpoint struct {
	*traits
	speak func() protocol // makes the value of a session
}

// traits are what all sessions of a protocol have in common.
type traits struct {
	subprotocol string // what is chosen if the client offers it
	order       order
	text        bool      // it takes text messages
	binary      bool      // it takes binary ones; what it does not take is closed with 1003
	sends       ws.OpCode // the node's messages are frames of this kind
	// memberships is how many addresses a session may join beside its client's.
	memberships int
}

// accepts reports whether messages of a kind mean something.
func (t *traits) accepts(op ws.OpCode) bool {
	return op == ws.OpText && t.text || op == ws.OpBinary && t.binary
}

// order is that of a handshake.
type order uint8

const (
	// serverFirst: the request's head says who the client is. It has joined before the
	// connection is a WebSocket, so that a refusal is an HTTP answer, and the welcome goes
	// out with the response.
	serverFirst order = iota
	// clientFirst: the connection is a WebSocket at once. What the client says then tells
	// who it is: the protocol calls session.identify. A refusal is a close frame, and the
	// welcome goes out when it has joined, before any message; see opening.
	clientFirst
)

// protocol is what a session speaks inside of WebSocket messages. Each session has a value
// of its own; one without state can serve all. Payloads are appended to what is given.
type protocol interface {
	traits() *traits
	// receive takes a message; the reading side calls it. An error, a closeReason, closes
	// the session.
	receive(s *session, op ws.OpCode, payload []byte) error
	// ping has a client that has been silent say something.
	ping(s *session)
	// evicted returns how the session closes that is no member of address any more, for a
	// reason of router.Session's Evict, or stillOpen.
	evicted(s *session, address string, reason error) closeReason
	appendWelcome(b []byte, s *session) []byte
	// messageSize is what appendMessage will append, in bytes.
	messageSize(m *router.Message) int
	appendMessage(b []byte, m *router.Message) []byte
	appendReceipt(b, id []byte, outcome router.Outcome, reason string) []byte
	appendBye(b []byte, c *closing) []byte
	appendDropped(b []byte, count uint32) []byte
}
