// Package node is a whole beeline node: it accepts clients, speaks their
// protocol, and composes the registry and the router that it needs for that.
//
// # The story of one connection
//
//  1. A connection is accepted and its HTTP head read, up to MaxHead bytes and
//     until HandshakeTimeout (head.go). What is no WebSocket goes to an HTTP
//     server, with the head played back (page.go).
//  2. The handshake and the client's name are checked, and the session takes its
//     place in the table (handshake.go, gate.go). Every refusal is an HTTP answer
//     with one line that says what was wrong and what is allowed (refusal.go).
//  3. The welcome is queued, then the session joins the router: from then on it
//     can be reached from every node. Only now the connection is upgraded and
//     given to the engine (engine.go). A duplicate is upgraded too and closed at
//     once with a code, because a browser does not see the HTTP answer.
//  4. The engine feeds the session with bytes. Frames and messages are cut out of
//     them (frame.go, assembly.go) and acted on (plain.go, request.go, json.go).
//     A send goes to the router and is counted until it has its outcome
//     (sending.go): a session with too many of them is not read further.
//  5. What the session is to be told is queued as frames, in bytes-bounded
//     buffers (session.go, outbox.go), and written by the engine.
//  6. Every end of a session has one of the reasons in closing.go and goes
//     through shut in ending.go: the session leaves the router, the close frame
//     goes out, the peer's is awaited for a short while, the connection is cut.
//
// # Goroutines
//
// One accepts. One per connection takes it through its handshake. One sweeps all
// sessions for silence (liveness.go). The two HTTP servers have theirs. The
// engine has what it needs, today a reading goroutine for each session and a
// writing one while there is something to write. Leaving the router happens in
// a short goroutine of its own, because the router may hold a lock while it
// calls a session. All are awaited in Stop, which undoes in reverse what Start
// did (cleanup.go, drain.go).
//
// Locks: a session's mu is taken last; with it held only the engine's wire is
// called, and never the router.
//
// It may import packages router, registry and metrics, go-redis, gobwas/ws and
// client_golang.
package node
