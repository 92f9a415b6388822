// Package baseline takes messages to their receivers the way one would without beeline:
// by Redis' Pub/Sub alone. It exists to be compared with package router, by beeline bench,
// and is built as well as a good engineer would build it.
//
// # The two ways
//
// Broadcast publishes every message to one channel that all nodes hear, and each node
// throws away what is for none of its sessions. What gathers while one PUBLISH is under
// way travels together in the next.
//
// Subscribe keeps a Redis subscription for each address that has sessions here. A message
// is one PUBLISH to its receiver's channel, and only nodes that hold the receiver hear it.
//
// # The story of one message
//
//  1. Send copies the message into the queue (sending.go), Flush signals the publisher.
//  2. The publisher (publisher.go) puts what is queued into frames (frame.go) and sends it
//     to Redis as one pipeline. What is queued meanwhile is the next pipeline, so
//     batches grow with the load. There is one pipeline at a time: it keeps the order.
//  3. A node that hears the frame (subscription.go, receiving.go) leaves the message with the
//     receiver's sessions, if it has any.
//  4. If the sender asked for a receipt, that node answers on the private channel of the
//     sender's node (replies.go). The first answer is the outcome. A sender that asked for
//     none is told Published, when Redis has taken the message.
//
// # What it promises
//
// Messages from one session to one address arrive in the order sent, or not at all. Every
// send has exactly one outcome, before its deadline. What waits is bounded, and what is
// beyond is Overloaded. A client is welcomed once messages for it reach this node.
//
// # What it does not promise, and package router does
//
//   - No loss. Pub/Sub forgets: what a node does not hear while it subscribes again, or
//     because Redis cut its subscription, is lost, and nothing is sent again.
//   - Offline. Nobody knows who is connected. Under Subscribe PUBLISH counts those who
//     hear it, and 0 means Offline (also for a client whose node is just
//     subscribing again); in a Cluster each server counts its own only, so it is not known
//     there. Under Broadcast it is never known. The outcome then is Timeout.
//   - Overloaded by one node beside Delivered by another is whichever answers first.
//   - One session for each client in the cluster: duplicates are allowed, and Options.Duplicates
//     must say so. A session that was welcomed is never evicted.
//   - A message that a client sends again, under the same name, arrives again.
//   - No waiting for a receiver that is about to come back (a grace).
//   - Nothing is signed. Who may publish to the channels is left to Redis' ACL.
//   - No back ends: a node has no inlet.
//   - A share of the room for each client: one sender may use all of it, within what package node
//     lets a session have in flight.
//
// # Goroutines and locks
//
// The publisher, the subscription's receiver, under Subscribe the one that changes
// subscriptions, the heartbeat and the sweeper have a goroutine each; all are awaited in
// Stop. Router.mu guards what is pending, sessions.mu the local addresses. Neither is
// held while a callback or a session is called or while Redis is waited for, but that a session
// may be delivered to under sessions' read lock.
//
// It takes only the vocabulary of package router (Message, Outcome, Session, errors), and
// of package registry the node lease: the list of nodes, and that their settings agree.
package baseline
