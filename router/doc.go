// Package router takes a message straight to the nodes that hold its receiver,
// and tells the sender what became of it.
//
// # The way of one message
//
// A session of alice sends to bob. Names in brackets are files.
//
//  1. Send [send.go] finds the shard of bob's address [shard.go] and makes a pending message,
//     with an ID and a deadline [pending.go]. If this node holds bob and knows of no other
//     owner, sendAlone [alone.go] puts the message into the queues of bob's sessions
//     [local.go, fanout.go]: that is the outcome, and Redis is not touched. A message that has
//     no room is Overloaded [shares.go].
//  2. Else accept gives the message to bob's route as the event messageSent [route.go]. If the
//     route has bob's owners cached, it goes on with step 4 [owners.go]. If not, the message
//     waits on the route, and the route waits in the queue of the lookup batcher.
//  3. The lookup batcher [lookupbatcher.go] asks the registry for all routes in its queue by
//     one round trip; what is queued meanwhile is the next one, and no timer is awaited. The
//     answer is an event for the route [lookup.go]: lookupFound names the owners;
//     lookupNobody says that nobody owns the address for sure, so the message is Offline, or
//     waits for the grace; after lookupFailed the route looks up again.
//  4. sendToOwners [inflight.go] sends the message to each owner. For another node it pushes a
//     frame onto the link to that peer [peer.go, package link]; for this node it hands over to
//     the sessions here [handover.go].
//  5. Whoever called Send calls Flush once after a batch of messages. The bus (package bus)
//     asks the router for Batches: one for each peer whose link has something to publish,
//     signed, published to the peer's private channel alone [publish.go]. Later the bus says
//     in Published how many subscribers Redis has counted.
//  6. On the owner the inbox [inbox.go] receives the batch, and handle [receive.go] opens it:
//     it takes what the batch acknowledges (step 7), then each message that is new. message
//     delivers it to bob's sessions [local.go], or refuses it: not here, joining, stale,
//     overloaded. It never routes a message again.
//  7. The owner's link acknowledges: one number for all that came, and a nack for each
//     message that was refused. The acknowledgement travels with what goes the other way, or
//     alone. On alice's node acknowledged [receive.go] gives it to the link, and settle
//     [peer.go] gives the results to the messages: acked [answers.go].
//  8. A message that a session has is Delivered. One that was refused goes back to its route
//     (ownerRefused): when everything in flight is answered, the owners are looked up afresh,
//     and what was refused is sent before what came later, four times at the most. What has
//     no outcome at its deadline is Timeout [sweep.go].
//
// done, the sender's callback, runs when the shard's lock is released (unlockAndNotify).
//
// # The way of one claim
//
//  1. JoinAsync [join.go] adds a session to an address that this node holds [local.go]. The
//     first session of an address claims it; others wait for that claim (waiters).
//  2. claim has the registry write this node's entry. The answer names the other owners; mostly
//     there are none, and step 5 follows.
//  3. A claim that is refused (under Reject) has verifyOwners ask those owners whether they
//     hold the address, since Redis may have been started from a snapshot. If none does,
//     their entries are pruned and the claim is made again.
//  4. announceClaim tells each other owner [announce.go] by a frame on its link, and waits for
//     all acknowledgements. An owner that is replaced has closed its sessions by then.
//  5. welcome lets the session in, if this node's own lease lives. Only now the client is
//     welcomed: every owner knows of it, so every sender finds it.
//
// Leave releases the lease with the last session. The registry says OnEvicted, OnRestored,
// OnDataLost and OnLeaseLost when a lease, or what is known of owners, is lost.
//
// # States
//
// Each state machine has named states, with a comment for each that says what leaves it. A
// route and a peer have one function that takes all events; the other states are changed
// where the event is handled:
//
//   - route.state: what a route does to find its owners. on [route.go]
//   - handoverQueue.state: messages of a route for the sessions here [handover.go]
//   - pending.state: where a message is that has no outcome yet [pending.go]
//   - peer.state: alive, suspect, dead. onLocked [peer.go]
//   - link.State: idle, waiting, stalled, suspended [link/state.go]
//   - a join has no state variable: join [join.go] reads from top to bottom
//   - the generation [owners.go]: what this node knows of owners counts in one generation only
//
// # Order
//
// Messages from one session to one address arrive in the order sent, or not at all. A route
// sends to other owners than last time only when all before was answered. An owner that
// refused a message refuses all later ones for that address from the same node, until one
// comes that is marked as following no unanswered one. So nothing overtakes what is being
// repaired.
//
// # Why nothing is delivered twice
//
// Five things see to it, and each catches what the others can't:
//
//   - the numbers of a link drop what was published twice, or was recorded and is played
//     again (package link);
//   - the IDs of what has arrived [idwindow.go] drop what comes again by another way: looked
//     up again, or in a new life of a link, after an acknowledgement was lost;
//   - a message that is sent again is not sent to nodes that have it (pending.reached);
//   - a message that was delivered elsewhere is not for a session that was welcomed later:
//     that may be a client that has it and has moved (Message.since);
//   - the fingerprints of what clients sent [dedup.go, outcomelog.go] drop what a client sends
//     again, which has another ID.
//
// # Dead, or not subscribed
//
// A PUBLISH that reaches nobody, or two ack timeouts, suspend a link and make its peer
// suspect. A task probes it [suspect.go]. It is dead if its node lease has ended, if its
// address refuses connections (and it has not said that it drains), or if another process
// answers there [prober.go]: then its entries are pruned [prune.go] and its messages are
// looked up again. Otherwise it is not subscribed, and what waits is published when it is
// again. A message that was published to a node which then died is Timeout: it may have
// arrived. So is one that PUBLISH counted for nobody soon after a failover, or after the
// sender's node started, if Redis has replicas or was one: the node may have received it by
// way of the former master.
//
// # Without Redis
//
// What needs Redis waits on its route or its link until the deadline. A receiver's sessions
// on the sender's own node get the message at once; if there are others elsewhere, those get
// it when Redis is back in time [degraded.go].
//
// # Bounds
//
// Everything that waits has a bound, and of what clients share one client or node has a
// share: messages without outcome [shares.go], a link's window and budget [shares.go,
// link/budget.go], lookups [lookups.go], what is remembered of repeats [outcomelog.go], what
// waits for a client with many sessions [fanout.go], peers [peers.go]. Owners that somebody
// made up cost no link [strangers.go].
//
// # Beside messages
//
//   - heartbeat.go: the node lease is refreshed when this node has received its own probe.
//   - receipt.go: a receiver's own acknowledgement (Confirm), and messages that a session
//     has dropped from its queue.
//   - inlet.go, external.go, externalreceipts.go: messages of back ends, which are sent like
//     those of a session, and their receipts.
//   - clusterkey.go, seal.go: batches are signed; what was played again does nothing.
//   - readiness.go, namesake.go: why a newcomer would be refused.
//
// # Locks
//
// In this order:
//
//	turns      one of dedup's, a fanout's order   held while the sessions here get a message
//	shard.mu   routes and messages of a part of all addresses [shard.go]
//	peers.mu   which peers there are
//	peer.mu    a peer's state and its link [peer.go]
//	leaves     local addresses, senders' shares, the lookup queue, timers, what is to be
//	           published, what is remembered of repeats, a message's bytes (pending.wire)
//
// No lock but a turn is held over a delivery, and none over a sender's callback or a call of
// the bus or the registry that may wait. All shards are held at once only to apply the death
// of a node (lockAll). What an acknowledgement settles is collected under the peer's lock,
// and given to the shards after its release. A function that needs a lock held ends in
// Locked, or is a method of a shard, or of what it guards, which gets the shard.
//
// # Goroutines
//
// All are tasks of package task, and awaited in Stop: the lookup batcher; the inbox, which
// receives on the private channel; the heartbeat; the timers [timers.go], which call a
// shard's sweep or a peer's tick when something is due; the pruner; the inlet's four; and for
// a while one for each suspect, for each join that finds other owners, and for what waits for
// clients with many sessions. Nobody publishes in the background: whoever has
// something to publish flushes.
//
// It may import packages registry, redisconn, metrics, and its own bus, link and task;
// never package node.
package router
