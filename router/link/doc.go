// Package link keeps the state of one node's conversation with one peer: the
// numbering of what is sent, the window of what is not acknowledged, what is to be
// sent again, and what was received. It also reads and writes the bytes that travel
// (envelope.go, header.go, reader.go) and signs them (seal.go).
//
// Redis' Pub/Sub forgets: a batch is lost when its receiver is not subscribed at that
// moment. A Link makes one ordered stream of it, in each direction, as TCP does of
// packets and etcd-io/raft of its log's messages:
//
//   - The sending half (sender.go, acknowledge.go) numbers frames, publishes them in
//     batches, and keeps them until they are acknowledged. When an acknowledgement does
//     not come in time, or PUBLISH reached nobody, it goes back to the first frame that
//     is not acknowledged (go-back-N). How much may be unacknowledged has a budget
//     (budget.go).
//   - The receiving half (receiver.go, refused.go) takes the next number only. It
//     acknowledges cumulatively, with a nack for each frame that was refused, and keeps
//     the order of what it refused.
//   - Both sides' streams have lives (lives.go), so that a batch of long ago does nothing.
//
// State (state.go) says what the sending half is doing and which events change that.
//
// The package is pure: it has no clock, no connection, no goroutine and no lock, and
// imports nothing of beeline. Its caller brings the time and the events, publishes the
// batches that it returns, calls Tick at NextDeadline, and acts on the frames that are
// settled. What travels is the caller's: see Payload.
package link
