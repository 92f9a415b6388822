// Package router takes a message straight to the nodes that hold its receiver,
// and tells the sender what became of it.
//
// # The story of one message
//
//  1. A session of alice sends to bob. If bob is on this node and no other node
//     holds him, the message goes into his sessions' queues and Redis is not
//     touched. If bob's owners are cached, it goes onto the links to them. Otherwise
//     it waits on bob's route for a lookup.
//  2. Whoever called Send calls Flush, which publishes a batch of envelopes on each
//     link that has something, by one write that does not wait. The lookups of all
//     routes that wait travel in one pipeline; what gathers meanwhile is the next.
//     No timer is waited for.
//  3. The lookup names bob's owners. The message goes onto the link to each of
//     them, and from there into the next PUBLISH to that node's private channel.
//     Nobody else hears it.
//  4. The owner's inbox hands it to bob's sessions and acknowledges: one
//     cumulative number with the exceptions (not here, joining, overloaded).
//  5. The acknowledgement becomes the receipt. If the owner was not the owner
//     any more, the route looks up afresh, four times at the most.
//
// The owner cache and why it is never wrong: owners.go.
//
// # Routes keep the order
//
// Messages from one session to one address arrive in the order sent, or not at
// all. A route hands messages to other owners than last time only after every
// earlier one was answered. An owner that refused a message refuses all later
// ones for that address from the same node, until one comes that is marked as
// following no unanswered one: so nothing overtakes what is being repaired.
//
// # Links lose nothing that Pub/Sub forgets
//
// A node that this one talks with is a peer (peer.go), and has a link. A link numbers its
// frames. The receiver takes only the next number and drops what it has seen, the sender
// keeps what is not acknowledged and goes back to it (go-back-N) when a PUBLISH failed,
// reached nobody, or was not acknowledged in time. Links and their bytes are described in
// package link, which knows nothing of the router: the router feeds a link events and
// carries out what it returns.
//
// # Whom a node believes
//
// Batches between nodes are signed with the cluster's key (clusterkey.go, link/seal.go), and a
// node that has one takes no other. What was recorded and is played again does nothing:
// links' lives and numbers see to it (link/lives.go); a probe counts if it is the one that is awaited.
// Without a key messages are checked like a client's, and a link that somebody else has cut
// begins a new life.
//
// # Back ends
//
// Programs that are no nodes publish JSON to a node's inlet (inlet.go). A message from
// there is sent like one of a session's (external.go), within bounds of its own, and its
// outcome is published where the publisher wants it (externalreceipts.go).
//
// # Dead or unsubscribed
//
// PUBLISH that reaches nobody means that the owner is dead or unsubscribed: it is suspect,
// and probed (suspect.go). It is dead
// if its node lease has ended, if its address refuses connections (and it did
// not say that it is draining), or if another process answers there: then its
// entries are pruned and its messages looked up again. Otherwise it is unsubscribed, and
// what waits is tried again until it hears or the deadline passes, and what comes
// later for its clients is looked up, since they may have moved. A message that was
// published to a node that then died has the outcome timeout: it may have arrived. So has one
// that PUBLISH counted for nobody soon after a failover, or after the sender's node started,
// if Redis has replicas or was one: the node may have heard by way of the former master.
//
// # Nobody takes all
//
// Everything that waits has a bound, and of what all clients share one client or node
// has a share (shares.go): messages without outcome and their bytes, the window of a link,
// what is looked up (lookups.go), what is remembered of repeats (outcomelog.go), what waits for
// the sessions of one client (fanout.go). What Redis is to carry to one node at once has a
// budget (link/budget.go), and owners that somebody made up cost no link (strangers.go).
//
// # Without Redis
//
// What needs Redis waits on its route or its link until the deadline. A receiver on
// the sender's own node does not wait: its sessions get the message at once, and if
// it has others elsewhere, those get it when Redis is back in time (degraded.go).
//
// # The receiver's own word, and messages sent again
//
// A sender may ask for the receiver's own acknowledgement; then the message is kept,
// without its data, until that comes or the deadline does (receipt.go). A message
// under the name of an earlier one of the same client is that one, sent again, and
// gets its outcome (dedup.go).
//
// # What keeps a message from being delivered twice
//
// Five things do, and each catches what the others can't:
//
//   - The numbers of a link drop what was published twice, or is played again
//     (package link).
//   - The IDs that have arrived (idwindow.go) drop what comes again by another way: looked
//     up again, or in a new life of a link, after an acknowledgement was lost.
//   - The nodes that have a message, and are not sent it again, while others must be
//     looked up for it (pending.reached).
//   - The time since which a session is there: one that was welcomed after a message was
//     delivered elsewhere is not owed it, and may be a client that has it and has moved
//     (Message.since).
//   - The fingerprints of what clients sent (dedup.go): a client that sends again has
//     another ID for it.
//
// # Welcome only what can be reached
//
// The first session of an address claims it. The claim names the earlier owners;
// each of them gets an announcement over its link (announce.go) and has acknowledged it
// before Join returns, and
// this node's lease lives then, or others would take it for dead. If the claim
// replaces them, they have closed their sessions then, and release their entries. So
// an owner that knows of no other may deliver locally without asking Redis, as long
// as its node lease lives and the registry is settled. A claim that is refused has
// the owners asked whether they hold the address, because Redis may have been
// started from a snapshot.
//
// # Goroutines and locks
//
// The bus (package bus) has no goroutine that publishes: whoever releases mu by unlock
// flushes, and the bus asks the router for batches (publish.go), which needs no mu. The lookup
// batcher (lookupbatcher.go) looks up for the routes; the inbox (inbox.go) receives; the inlet
// has one goroutine that receives, one that flushes, one that publishes receipts and one
// that watches its connection; the
// heartbeat (heartbeat.go) proves that the inbox hears
// and refreshes the node lease; the sweeper (sweeper.go) runs only while something
// waits and watches deadlines, and so do the peers (peers.go) for their links; a probe
// (suspect.go) runs for each peer that is suspect.
//
// Router.mu guards routes and what is pending. Each peer has a lock of its own, and so has
// the table of peers; both may be taken while Router.mu is held, the table's before a
// peer's, and never the other way round. So what a peer's acknowledgement settles is
// collected under the peer's lock, and given to the routes after its release. What a link
// reads of a message that it publishes is guarded by the message's own lock (pending.wire).
// The local addresses have a lock of their own, taken after Router.mu, and the repeats a turn
// for each message, taken before theirs. Callbacks of senders run after mu is released, and
// messages for this node's sessions are delivered without it: those that are for this node
// alone by their sender (alone.go), those that come by a route by whoever releases mu
// (handover.go), those of other nodes by the inbox. The sessions of a client that has many
// get theirs from a goroutine that runs while something waits for them (fanout.go); its
// locks are taken when no other is held but a turn.
//
// It may import packages registry and metrics, go-redis, and never package node.
package router
