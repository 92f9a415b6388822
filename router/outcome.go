package router

// Outcome is what became of a message: the closed set of receipts.
type Outcome uint8

// The outcomes. Every send has exactly one, before its deadline.
const (
	// Delivered: written to the queue of at least one of the receiver's sessions.
	Delivered Outcome = iota
	// Offline: nobody owns the address.
	Offline
	// Overloaded: a bounded queue was full, here, on the way, or at the receiver.
	Overloaded
	// Timeout: no answer before the deadline; the message may have arrived.
	Timeout
	// Rejected: the message was bad or forbidden.
	Rejected
	// Published: a baseline delivery published the message and nobody asked what
	// became of it. The targeted delivery never says so.
	Published
	// Confirmed: the receiver itself has acknowledged the message. Only who asked
	// for that is told so; a confirmation that does not come before the deadline
	// leaves Delivered.
	Confirmed

	outcomes = iota
)

var outcomeNames = [outcomes]string{"delivered", "offline", "overloaded", "timeout", "rejected", "published", "confirmed"}

func (o Outcome) String() string { return outcomeNames[o] }
