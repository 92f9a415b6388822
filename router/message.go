package router

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxAddress is the longest address, in bytes.
const MaxAddress = 256

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
	// Ref is the sending client's own name for the message, or empty. The router
	// copies nothing of it. A message with the Ref, To and Data of an earlier one of
	// the same client is that one, sent again: see Send.
	Ref []byte

	content uint64 // see repeats; 0: without Ref
	since   int64  // when it was accepted, in Unix µs, if a session elsewhere has it; else 0
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

// Session is where the router leaves messages for one connection. Its methods
// are called from the router's goroutines and from those that send, at the same
// time, and must not block.
type Session interface {
	// Deliver queues m for the client and returns Delivered, or Overloaded if
	// the session's bounded queue is full, or Offline if the session is closing.
	// It must not keep m or m.Data after it returned, nor call the router.
	Deliver(m *Message) Outcome
	// Evict asks the session to close, for a reason of ErrReplaced or ErrLost.
	Evict(reason error)
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
	// ErrUnavailable: the registry or the private channel is away; try later.
	ErrUnavailable = errors.New("registry is not available")
)

// CheckClient says what is wrong with a client's name, or returns nil: 1 to 256
// bytes of printable UTF-8, not beginning with '#'.
func CheckClient(name string) error {
	if strings.HasPrefix(name, "#") {
		return errors.New("a client's name may not begin with '#': that is a group's mark")
	}
	return checkPrintable(name)
}

// CheckAddress says what is wrong with an address, or returns nil: a client's
// name, or '#' and a group's name.
func CheckAddress(address string) error {
	if group, ok := strings.CutPrefix(address, "#"); ok && group == "" {
		return errors.New("a group's name follows the '#'")
	}
	return checkPrintable(address)
}

func checkPrintable(s string) error {
	switch {
	case s == "":
		return errors.New("it is empty; allowed are 1 to 256 bytes")
	case len(s) > MaxAddress:
		return fmt.Errorf("it has %d bytes; allowed are 1 to %d", len(s), MaxAddress)
	case !utf8.ValidString(s):
		return errors.New("it is not UTF-8")
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return fmt.Errorf("it contains %U; only printable characters are allowed", c)
		}
	}
	return nil
}
