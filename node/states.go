package node

import "sync/atomic"

// membership is what the router knows of a session under one address.
type membership uint8

const (
	// notJoined: the session has not joined, or joins before it has a connection. A join
	// that succeeds makes it joined; one that begins later makes it joining.
	notJoined membership = iota
	// joining: the router is asked to join a session that has a connection. The answer makes
	// it joined, notJoined if that failed, or hasLeft if the session closes meanwhile.
	joining
	// joined: the router delivers to the session. The beginning of its close, for
	// whatever reason, makes it hasLeft.
	joined
	// hasLeft: the session leaves the router, or has left it. This is the last state.
	hasLeft
)

// peerState is what can still come from the client.
type peerState uint8

const (
	// peerSpeaks: messages. Bytes that break the protocol make it peerUnreadable, a close
	// frame peerClosed.
	peerSpeaks peerState = iota
	// peerUnreadable: nothing that has a meaning; the end of its stream is awaited.
	peerUnreadable
	// peerClosed: nothing: its close frame has come. When all is written, the connection
	// is cut.
	peerClosed
)

// connState is what becomes of a session's connection.
type connState uint8

const (
	// connOpen: it stays, or there is none yet. A session that closes and has one makes it
	// connClosing.
	connOpen connState = iota
	// connClosing: it is cut after closeGrace at the latest; see graces.
	connClosing
	// connReleased: the engine has let go of it. This is the last state.
	connReleased
)

// atomicReason is a closeReason that is written once and read without a lock.
type atomicReason struct{ v atomic.Uint32 }

func (r *atomicReason) load() closeReason { return closeReason(r.v.Load()) }

func (r *atomicReason) store(reason closeReason) { r.v.Store(uint32(reason)) }

// isClosing reports whether the session closes or has closed.
func (s *session) isClosing() bool { return s.reason.load() != stillOpen }
