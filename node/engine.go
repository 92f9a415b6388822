package node

import (
	"context"
	"net"
)

// engine moves bytes between connections and sessions. A session is passive: it
// neither reads nor writes nor waits, the engine does.
type engine interface {
	// add takes conn over. leftover is what was read of it already; the engine
	// may change and keep it. From now on the engine calls, one at a time,
	// s.receive with what comes, s.disconnected when the connection fails, and
	// s.ended as the last call of all. It reads no further while s.full.
	add(s *session, conn net.Conn, leftover []byte) wire
	// stop cuts the connections that are left, and returns when every session
	// has ended.
	stop(ctx context.Context) error
}

// wire is a session's connection. Its methods do not block; the session calls
// them with its lock held, and never after it ended.
type wire interface {
	// flush writes what the session's outbox holds: takeOutput until it returns
	// nil. It is called when the outbox was empty and nobody wrote.
	flush()
	// resume tells that s is not full any more.
	resume()
	// cut closes the connection. hard throws away what the kernel still holds
	// for a peer that does not take it.
	cut(hard bool)
}

// after says what the engine does with a connection whose output is written.
type after uint8

const (
	afterNothing   after = iota
	afterEndOutput       // no more will follow: close the sending direction
	afterCut             // both sides have said good-bye
)
