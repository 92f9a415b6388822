package ledger

import "time"

// Kind is a way of breaking a promise.
type Kind string

// The kinds of violations.
const (
	// Lost: the receipt says delivered, and no session of the receiver got it,
	// though it had a session all the time. With confirmed, whatever it had.
	Lost Kind = "lost"
	// Duplicated: a client got a message twice that was sent once, or one of its
	// sessions got a message twice.
	Duplicated Kind = "duplicated"
	// Reordered: a client got a message after a later one from the same session.
	Reordered Kind = "reordered"
	// Misrouted: a client got what was not for it, or not as it was sent.
	Misrouted Kind = "misrouted"
	// Missed: a session got what was sent to its client, and another one, that the client had
	// all the time, did not, though nothing was done to a node or to Redis about then.
	Missed Kind = "missed by another session"
	// WronglyReceipted: what the sender was told is not true: offline of a
	// connected client, delivered to nobody, not delivered of what arrived, two
	// receipts, a receipt for nothing.
	WronglyReceipted Kind = "wrongly receipted"
	// Unanswered: no receipt before the deadline, though the sender's session lived.
	Unanswered Kind = "unanswered"
	// Groundless: timeout or overloaded, though nothing was done to the sender's node,
	// to the receiver's, or to Redis about then.
	Groundless Kind = "failed for no reason"
	// Expelled: a node that was not killed ended a session.
	Expelled Kind = "session ended for no reason"
	// Late: a client of a killed node was not answered for soon, though nothing else was
	// done to the nodes in question, or to Redis.
	Late Kind = "late about a killed node's client"
	// Unreached: a client or a node could not be reached after all faults were over.
	Unreached Kind = "unreached"
)

// Kinds lists all kinds in the order in which they are reported.
func Kinds() []Kind {
	return []Kind{Lost, Duplicated, Reordered, Misrouted, Missed, WronglyReceipted, Unanswered, Groundless, Expelled, Late, Unreached}
}

// Violation is one broken promise.
type Violation struct {
	Kind Kind
	At   time.Time
	What string // in a few words

	message *Message // nil if it is about none
	session *Session // the receiving or asked one, if it matters
	behind  *Message // what overtook message
	client  string   // whom it is about, if that is nothing of these
}

// Verdict is what the ledger holds, judged.
type Verdict struct {
	Violations []Violation

	Messages  int            // sent, without repetitions
	Repeats   int            // sent again under the same ID
	Receipts  map[string]int // by outcome
	Received  int
	Sessions  int            // welcomed
	Ends      map[string]int // by how, of the sessions that were welcomed
	NoSession int            // attempts to connect that ended without a welcome
	// Excusable counts the receipts delivered of messages that need not have been
	// received, because of a session that ended about then. The others prove more.
	Excusable int

	// Excused counts what would be a violation if a fault did not explain it.
	Excused map[Excuse]int
}

// Excuse is why something is no violation.
type Excuse string

// The excuses.
const (
	// ReceiverLeft: delivered and not received, but a session of the receiver
	// ended about then, and what was on its way to it ended with it.
	ReceiverLeft Excuse = "delivered to a session that ended"
	// OwnerLapsed: offline, but the receiver's node was stopped or severed for so
	// long that it counted as dead.
	OwnerLapsed Excuse = "offline while its node counted as dead"
	// SenderLeft: no receipt, but the sender's session ended before the deadline.
	SenderLeft Excuse = "unanswered when the sender's session ended"
	// Disturbed: timeout or overloaded, and something was done to a node on the way
	// or to Redis.
	Disturbed Excuse = "timeout or overloaded near a fault"
	// Delayed: a client of a killed node was not answered for soon, and something was
	// done to the asker's node, to one on which the client had been, or to Redis.
	Delayed Excuse = "late about a killed node's client near a fault"
	// SeveralSessions: received at a session that began later, but the client had several
	// when it got the message: another one was owed it, too, and later ones on that
	// session's node got it with it.
	SeveralSessions Excuse = "received again by a later session of a client with several"
	// ClocksDiffer: received at a session that began later, but nodes' clocks were set to
	// another time: which sessions are older than a message is what a node's clock says.
	ClocksDiffer Excuse = "received again by a later session when clocks differed"
)

// Excuses lists all excuses in the order in which they are reported.
func Excuses() []Excuse {
	return []Excuse{ReceiverLeft, OwnerLapsed, SenderLeft, Disturbed, Delayed, SeveralSessions, ClocksDiffer}
}

// Count returns how many violations of a kind there are.
func (v *Verdict) Count(kind Kind) (n int) {
	for _, violation := range v.Violations {
		if violation.Kind == kind {
			n++
		}
	}
	return n
}

// Rules are the times that a judgement depends on. All are needed.
type Rules struct {
	// Deadline is when a message has an outcome at the latest.
	Deadline time.Duration
	// Slack is what a busy machine may add to anything.
	Slack time.Duration
	// Notice is what a node that runs needs to notice that a client has left, and a
	// client to read what came.
	Notice time.Duration
	// Recovery is what nodes need, after a node was killed, to answer for its clients.
	Recovery time.Duration
	// Lapse is the shortest outage after which a node may count as dead.
	Lapse time.Duration
	// Redial is what a node may need to notice that the connections which it has are of no
	// use any more, and to make others.
	Redial time.Duration
	// Beat is what a node needs between two outages to show that it lives.
	Beat time.Duration
	// Return is what a node that counted as dead needs to get its clients back, and
	// what is done to a node or to Redis may be felt for as long after its end.
	Return time.Duration
	// Clocks says that nodes' clocks were set to another time.
	Clocks bool
}
