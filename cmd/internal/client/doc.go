// Package client is a client of one node over the plain protocol, for commands that
// send a message or take part, not for many connections at a time.
//
// It has no goroutines of its own: its caller reads.
package client
