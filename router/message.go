package router

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Message is what a session sends to an address.
type Message struct {
	ID   MessageID // given by Send
	From string    // the sending client
	To   string    // an address
	Data []byte    // opaque to the router; Send copies it

	// Receipt says that somebody waits for the outcome. Without it the outcome may
	// be known a little later, and under the baselines not at all.
	Receipt bool
	// Confirm asks for the receiver's own acknowledgement: the outcome is Confirmed
	// once one of its sessions has given it. It implies Receipt.
	Confirm bool
	// Droppable says that a session may drop the message from its queue again to
	// make room for a later one.
	Droppable bool
	// Crowded says that what waits for outcomes will soon keep the sender from sending: the
	// message is Overloaded rather than wait for a node that does not answer. It implies
	// Receipt. The baselines take no notice of it.
	Crowded bool
	// Ref is the sending client's own name for the message, or empty. The router
	// copies nothing of it. A message with the Ref, To and Data of an earlier one of
	// the same client is that one, sent again: see Send.
	Ref []byte

	contentHash uint64 // see dedup.go; 0: without Ref
	since       int64  // when it was accepted, in Unix µs, if a session elsewhere has it; else 0
}

// MessageID names a message in the whole cluster: the sending node's random
// origin and a count.
type MessageID struct{ Origin, Count uint64 }

// String returns the ID as clients see it: two hexadecimal numbers.
func (id MessageID) String() string { return fmt.Sprintf("%x-%x", id.Origin, id.Count) }

// ParseMessageID reads what String returns.
func ParseMessageID(s string) (id MessageID, err error) {
	origin, count, _ := strings.Cut(s, "-")
	id.Origin, err = strconv.ParseUint(origin, 16, 64)
	if err == nil {
		id.Count, err = strconv.ParseUint(count, 16, 64)
	}
	if err != nil {
		return MessageID{}, errors.New("a message's ID is two hexadecimal numbers with a '-' between")
	}
	return id, nil
}

// Session is where the router leaves messages for one connection. It may join any number
// of addresses, and leaves each of them by itself. Its methods
// are called from the router's goroutines and from those that send, at the same
// time, and must not block.
type Session interface {
	// Deliver queues m for the client and returns Delivered, or Overloaded if
	// the session's bounded queue is full, or Offline if the session is closing.
	// It must not keep m or m.Data after it returned, nor call the router.
	Deliver(m *Message) Outcome
	// Evict tells the session that it is no member of address any more, for a reason of
	// ErrReplaced or ErrLost. Its other addresses are untouched.
	Evict(address string, reason error)
}

// Why a session is evicted.
var (
	// ErrReplaced: the client connected again and the newest session wins.
	ErrReplaced = errors.New("replaced by a newer session of the same client")
	// ErrLost: another session took the lease while this node could not hold it.
	ErrLost = errors.New("lease was lost to another session")
)

// Why a session can't join.
var (
	// ErrDuplicate: the client is connected already and newcomers are refused.
	ErrDuplicate = errors.New("client is connected already")
	// ErrTooManySessions: the client has as many sessions here as it may.
	ErrTooManySessions = errors.New("client has too many sessions")
	// ErrUnavailable: the registry or the private channel is away; try later.
	ErrUnavailable = errors.New("registry is not available")
)
