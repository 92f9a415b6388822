package router

import (
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

// Why an envelope or a batch was not acted on: the closed set of drop reasons.
type dropReason uint8

const (
	dropMalformed dropReason = iota
	dropVersion
	dropUnknownKind
	dropDuplicate
	dropRepeated
	dropGap
	dropHops
	dropTooManyLinks
	dropUnsigned
	dropForged
	dropJSON
	dropNotReplacing

	dropReasons = iota
)

var dropNames = [dropReasons]string{
	"malformed", "version", "unknown_kind", "duplicate", "repeated", "gap", "hops", "too_many_links",
	"unsigned", "bad_mac", "json", "not_replacing",
}

// inbox takes what arrives on this node's private channel. The bus calls it from one goroutine.
type inbox struct {
	r       *Router
	private string // this node's channel
	trusts  bool   // what is taken was signed

	// The receiving goroutine's.
	recent           *idWindows
	received         receivedMessage // the message in hand
	now              time.Time       // when its batch came
	limit            int             // of what is remembered of refusals on its link
	subscribedBefore bool            // the private channel was, once
	signer           *link.Signer
	settled          []link.Settled // room
	// renewedLogged is when a new life of a link was logged last.
	renewedLogged time.Time
	// refusedSaid is when a payload that was not opened was logged last.
	refusedSaid time.Time

	sub bus.Subscription // of the private channel
}

func newInbox(r *Router) *inbox {
	return &inbox{
		r: r, private: r.keys.Channel(r.opts.NodeID), trusts: r.keyed(),
		recent: newIDWindows(), signer: link.NewSigner(r.opts.ClusterKeys),
	}
}

// Received takes one payload: see bus.Listener.
func (in *inbox) Received(channel, payload string) { in.handle(channel, payload) }

// Subscribed notes that the private channel is heard: see bus.Listener.
func (in *inbox) Subscribed() {
	in.r.reg.Works(redisconn.Subscribing)
	if in.subscribedBefore {
		in.r.m.Resubscribes.Inc()
	}
	in.subscribedBefore = true
	in.r.setSubscribed(true)
}

// Unsubscribed notes that the private channel is not heard, and has the log told why: see
// bus.Listener.
func (in *inbox) Unsubscribed(why error) {
	if why != nil {
		in.r.reg.Failed(redisconn.Subscribing, why)
	}
	in.r.setSubscribed(false)
}
