// Package node is a whole beeline node: it accepts clients, speaks their
// protocol, and composes the registry and the router that it needs for that.
//
// # The story of one connection
//
//  1. A connection is accepted, takes a slot (handshakes.go), and its HTTP head is
//     read, up to MaxHead bytes and until HandshakeTimeout, by a strict parser (head.go,
//     fields.go). What is no WebSocket leaves its slot and goes to an HTTP server
//     (page.go), which sees no head that the parser has not (pageconn.go) and whose
//     connections have a bound of their own (visitors.go).
//  2. The handshake is checked (upgrade.go), the authenticator says who the client is, at
//     once or in a goroutine of its own (authenticator.go, identity.go, none.go), and the
//     session takes its place in the table (handshake.go). Every refusal is an HTTP answer
//     with one line that says what was wrong and what is allowed (refusal.go).
//  3. The session joins the router: from then on it can be reached from every
//     node. A client that goes meanwhile is noticed and gets no session. Only now
//     the connection is upgraded and given to the engine (engine.go): the response
//     and the welcome go out before what the router has delivered already. A
//     duplicate is upgraded too and closed at once with a code, because a browser
//     does not see the HTTP answer. Under a protocol whose client speaks first
//     (protocol.go) the connection is upgraded before step 2, and its first message says
//     who it is (opening.go); it keeps its slot until its welcome (openings.go).
//  4. The engine feeds the session with bytes. Frames and messages are cut out of
//     them (frame.go, assembly.go) and acted on (plain.go, request.go, json.go).
//     A send goes to the router and is counted until it has its outcome
//     (sending.go): a session with too many of them is not read further.
//     A protocol may have the session join more addresses than its client's (places.go).
//  5. What the session is to be told is queued as frames, in bytes-bounded
//     buffers (session.go, output.go, outbox.go), and written by the engine.
//  6. Every end of a session has one of the reasons in closing.go and goes
//     through shutLocked in ending.go: the session leaves the router, the close frame
//     goes out, the peer's is awaited for a short while (grace.go), the connection
//     is cut.
//
// What back ends publish to the node's inlet the router takes; it is read here (external.go),
// by the rules of what clients send.
//
// # Engines
//
// On Linux it is epoll (epoll_linux.go): a loop for every two processors
// (loop_linux.go) reads the sockets of thousands of sessions, and of connections
// whose head is on its way (arrival_linux.go, arrivalwait_linux.go), as raw descriptors
// (socket_linux.go). An idle session has no goroutine, no buffer and no timer.
// Nothing on a loop waits: an authentication that takes time and a join are answered
// elsewhere, a refusal is written by a goroutine of its own. A goroutine that has
// something for a session writes it at once (wire_linux.go), with one system call; while
// a loop feeds a session, what is for any gathers until it was fed (gathering_linux.go),
// and where a socket takes nothing more all gathers until the loop hears that it does.
// Elsewhere, and for connections that are more than a socket, a session has a reading
// goroutine, and a writing one while there is something to write (engine_goroutine.go).
// All tests run with both.
//
// A session's descriptor is closed by its loop alone, which alone reads it, and
// with the session's lock held, which a writer holds too: no writer can reach a
// socket that was given its number meanwhile. To cut a connection its socket is shut
// down, and the loop hears of that. A descriptor that is no session's, not
// yet or not any more, is closed by its one owner, when it is on no loop.
//
// # Goroutines
//
// One accepts. Each loop has one; the other engine has one for each handshake, a
// second one while it waits for the authenticator or joins, and one for each session.
// (There a client that goes while it joins frees its slot at once, though its claim lives
// until it is answered.) With loops, an authentication that takes time has one. One sweeps all sessions for silence, in small steps, and watches all
// deadlines (liveness.go). The two HTTP servers have theirs. Leaving the router
// happens in a short goroutine of its own, because the router may hold a lock while
// it calls a session. All are awaited in Stop, which undoes in reverse what Start
// did (cleanup.go, drain.go).
//
// Locks: a session's mu is taken before a loop's or the gathering's, which are taken
// last; with a session's held only the engine's wire is called, and never the router. With
// one session's held another one's is only tried, to make room (admission.go).
//
// Those who administer the cluster ask the node's Directory (directory.go).
//
// It may import packages router, directory, registry and metrics, go-redis, gobwas/ws and
// client_golang.
package node
