package router

import (
	"bytes"
	"encoding/json"
	"strings"
)

// An external publisher is a program that sends messages by publishing JSON to an
// inlet: a channel that each node has beside its private one, for whoever may publish
// there and need not be trusted by nodes. Such a message goes the way of one that this node's own
// session has sent, so it reaches all sessions of its receiver, wherever they are, and
// its outcome is published to a channel that the publisher has named.

// External is a message of an external publisher, as package node has read it from
// JSON. Its strings and bytes may be parts of that.
type External struct {
	Message        // without ID; Ref is the publisher's own id as it came, or nil
	Reply   string // under which name it gets the receipt; empty: it wants none
	Reason  string // why the message is refused, of a closed set; empty: it is not
	Text    string // the same for people
}

const (
	// maxExternal is how many messages of external publishers may have no outcome.
	// One beyond it is Overloaded, and so is one that would make their data more than
	// a quarter of MaxPendingBytes: what they take sessions can't have.
	maxExternal      = 1 << 13
	externalFraction = 4
)

// reasonInFlight is why a message is refused that is beyond these bounds.
const reasonInFlight = "in_flight"

// take sends a message. Receipts and messages are bounded, so a publisher that sends more
// than the cluster takes hears of that, and what nodes send each other is not held up.
func (in *inlet) take(payload string) {
	r := in.r
	x := r.opts.ReadExternal(bytesOf(payload))
	id, reply := bytes.Clone(x.Ref), strings.Clone(x.Reply)
	switch {
	case x.Reason != "":
		in.sayRefused(&x)
		in.conclude(reply, id, Rejected, x.Reason, x.Text)
		return
	case !in.admit(len(x.Data)):
		in.conclude(reply, id, Overloaded, reasonInFlight, "")
		return
	}
	size := len(x.Data)
	x.Receipt = true
	r.Send(x.Message, func(_ MessageID, o Outcome) {
		in.settle(size)
		in.conclude(reply, id, o, "", "")
	})
}

// admit counts a message that begins, if there is room for it.
func (in *inlet) admit(size int) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.inFlight >= maxExternal || in.inFlightBytes+size > in.r.opts.MaxPendingBytes/externalFraction {
		return false
	}
	in.inFlight++
	in.inFlightBytes += size
	return true
}

// settle counts one that has its outcome.
func (in *inlet) settle(size int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.inFlight--
	in.inFlightBytes -= size
}

// conclude counts what became of a message, and queues the receipt if one is wanted.
func (in *inlet) conclude(reply string, id []byte, o Outcome, reason, text string) {
	in.outcomes[o].Inc()
	if reply != "" {
		in.queue(receipt{channel: in.r.keys.Reply(reply), payload: appendExternalReceipt(nil, id, o, reason, text)})
	}
}

// appendExternalReceipt appends the JSON of a receipt. id is JSON.
func appendExternalReceipt(b, id []byte, o Outcome, reason, text string) []byte {
	b = append(b, `{"type":"receipt"`...)
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	b = append(append(append(b, `,"outcome":"`...), o.String()...), '"')
	if reason != "" {
		b = append(append(append(b, `,"reason":"`...), reason...), '"')
	}
	if quoted, err := json.Marshal(text); err == nil && text != "" {
		b = append(append(b, `,"message":`...), quoted...)
	}
	return append(b, '}')
}

// sayRefused logs a message that is refused, once in a while: its publisher may not hear of
// it otherwise.
func (in *inlet) sayRefused(x *External) {
	if now := in.r.now(); now.Sub(in.refusedSaid) >= sayEvery {
		in.refusedSaid = now
		in.r.log.Warn("message of an external publisher was rejected", "reason", x.Reason, "message", x.Text, "reply", x.Reply)
	}
}
