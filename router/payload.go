package router

import (
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// payload is what travels on a link: a message, an announcement or a receipt.
type payload interface {
	link.Payload
	// settle takes what became of it at an owner. It is called without a lock.
	settle(r *Router, owner registry.Owner, result ackResult)
}

// ackResult is what became of a payload at one owner, on this node or another.
type ackResult = link.AckResult

const (
	ackDelivered  = link.AckDelivered
	ackOverloaded = link.AckOverloaded
	ackNoRoom     = link.AckNoRoom
	ackNotHere    = link.AckNotHere
	ackStale      = link.AckStale
	ackJoining    = link.AckJoining
	ackDead       = link.AckDead
	ackUnknown    = link.AckUnknown
)

// bare is a payload that says all by its kind, and whose result is nobody's business.
type bare link.Kind

// pruned says that entries of the receiving node were removed, although it lives.
const pruned = bare(link.KindPruned)

// Append appends the envelope.
func (x bare) Append(b []byte, _ *link.Frame) ([]byte, link.Kind) {
	return link.AppendBare(b, link.Kind(x)), link.Kind(x)
}

func (bare) settle(*Router, registry.Owner, ackResult) {}

// appendMessage appends m as an envelope.
func appendMessage(b []byte, m *Message, flags, hops byte, accepted int64, assumed ownerSet) []byte {
	return link.AppendMessage(b, &link.Message{
		ID: link.MessageID(m.ID), From: m.From, To: m.To, Data: m.Data, Flags: flags, Hops: hops,
		Accepted: accepted, Owners: uint64(assumed), ContentHash: m.contentHash,
	})
}
