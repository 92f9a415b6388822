// Package link keeps the state of one node's conversation with one peer: the
// numbering of what is sent, the window of what is not acknowledged, what is to be
// sent again, and what was received. It also reads and writes the bytes that travel
// (envelope.go, header.go) and signs them (seal.go).
//
// The package is pure: it has no clock, no connection, no goroutine and no lock, and
// imports nothing of beeline. Its caller brings the time and the events, publishes the
// batches that it returns, and acts on the frames that it settles.
package link
