package router

import (
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// fate is what became of an envelope on a link.
type fate uint8

const (
	fateDelivered  fate = iota
	fateOverloaded      // its receiver's queues were full
	fateNoRoom          // there was no room for it on this node, or on the link
	fateNotHere         // the node does not hold the address
	fateStale           // it does, but maybe not with the others that the sender believes in
	fateJoining         // the node is just claiming the address
	fateDead            // the node died before the envelope was published
	fateUnknown         // the node died with it: it may have arrived
)

// fateOf returns what a nack means for the sender. One of a newer node's, which is
// not known here, tells nothing.
func fateOf(c link.NackCode) fate {
	switch c {
	case link.NackNotHere:
		return fateNotHere
	case link.NackStale:
		return fateStale
	case link.NackJoining:
		return fateJoining
	case link.NackOverloaded:
		return fateOverloaded
	}
	return fateUnknown
}

// cargo is what travels on a link: a message or a notice.
type cargo interface {
	kind() link.Kind
	encode(b []byte, first bool) []byte
	awaited() bool // its acknowledgement is not to be a lazy one
	settle(r *Router, owner registry.Owner, f fate)
}

type item struct {
	cargo cargo
	owner registry.Owner
	first bool
	size  int // bytes of a message's data, as it was pushed

	awaited   bool
	counted   bool // it is large, and Redis had a subscriber for it
	withdrawn bool // it was lost then; see budget.go
}

// appendMessage appends m as an envelope.
func appendMessage(b []byte, m *Message, flags, hops byte, accepted int64, believed ownerSet) []byte {
	return link.AppendMessage(b, &link.Message{
		ID: link.MessageID(m.ID), From: m.From, To: m.To, Data: m.Data, Flags: flags, Hops: hops,
		Accepted: accepted, Owners: uint64(believed), ContentHash: m.contentHash,
	})
}
