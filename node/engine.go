package node

import (
	"context"
	"net"
)

// readBudget is what is read of a connection, in bytes, before the session is
// asked whether it takes more, and before others that share a goroutine have
// their turn.
const readBudget = 16 << 10

// engine moves bytes between connections and sessions. A session is passive: it
// neither reads nor writes nor waits, the engine does.
type engine interface {
	// accept takes clients through their handshakes until the node's handshakes
	// are stopped and l is closed. What is no WebSocket goes to plain.
	accept(l net.Listener, plain *handoff)
	// refuseWaiting refuses those whose head or whose join is still awaited. It is
	// called when nobody is accepted any more.
	refuseWaiting()
	// add takes the connection of a session over that joined the router. It is
	// called with the session's lock held. From now on the engine calls, one at
	// a time, s.receive with what comes, s.disconnected when the connection
	// fails, and s.ended as the last call of all. It reads no further while
	// s.full, and calls router.Flush behind what it read.
	add(s *session, conn net.Conn) wire
	// gather is called with true before the messages of a batch are delivered, and
	// with false behind them: what they lead to may be written then. Several
	// goroutines may call it at a time.
	gather(on bool)
	// tick is called often enough to watch deadlines.
	tick()
	// stop cuts the connections that are left, and returns when every session
	// has ended.
	stop(ctx context.Context) error
}

// wire is a session's connection. Its methods do not block; the session calls
// them with its lock held, and never after it ended.
type wire interface {
	// flush writes what the session's outbox holds, until there is nothing left.
	// It is called when something was added and nobody writes, and sets busy while
	// somebody does. It may put that off for a moment, unless now.
	flush(now bool)
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
