package router

import "github.com/beeline-ws/beeline/registry"

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

// fate is what a refusal means for the sender. One of a newer node's, which is
// not known here, tells nothing.
func (c refusal) fate() fate {
	switch c {
	case refusedNotHere:
		return fateNotHere
	case refusedStale:
		return fateStale
	case refusedJoining:
		return fateJoining
	case refusedOverloaded:
		return fateOverloaded
	}
	return fateUnknown
}

// cargo is what travels on a link: a message or a notice.
type cargo interface {
	kind() kind
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
