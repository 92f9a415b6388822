package router

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// handle takes one payload that came by a channel: a batch.
func (in *inbox) handle(channel, payload string) {
	in.now = in.r.now()
	opened, err := in.signer.Open(channel, payload)
	if err != nil {
		in.refused(channel, payload, err)
		return
	}
	h, envelopes, n, err := link.ReadHeader(opened)
	if err != nil {
		in.dropped(dropMalformed)
		return
	}
	switch {
	case h.Life == 0:
		for range n {
			in.unnumbered(&h, envelopes.Next())
		}
	case channel != in.private || h.From == in.r.opts.NodeID: // links are between two nodes
		in.dropped(dropMalformed)
	default:
		in.numbered(&h, envelopes, n)
	}
}

// refused counts a payload that was not opened, by its reason, and says the same in the
// log, because nodes that can't verify each other don't hear each other.
func (in *inbox) refused(channel, payload string, err error) {
	switch {
	case errors.Is(err, link.ErrUnsigned):
		in.dropped(dropUnsigned)
	case errors.Is(err, link.ErrForged):
		in.dropped(dropForged)
	case errors.Is(err, link.ErrMalformed):
		in.dropped(dropMalformed)
		return
	case strings.HasPrefix(payload, "{"):
		in.dropped(dropJSON)
	default:
		in.dropped(dropVersion)
		return
	}
	if in.now.Sub(in.refusedSaid) < sayEvery {
		return
	}
	in.refusedSaid = in.now
	if strings.HasPrefix(payload, "{") {
		in.r.log.Warn("JSON on a channel for nodes alone was dropped: publish it to an inlet, see docs/redis.md",
			"channel", channel, "inlet", in.r.keys.Inlet(in.r.opts.NodeID))
		return
	}
	in.r.log.Warn("batch was dropped: its publisher does not have this node's cluster key", "channel", channel, "error", err)
}

// unnumbered takes what no link numbers: a probe.
func (in *inbox) unnumbered(h *link.Header, e link.Envelope) {
	switch e.Kind {
	case link.KindProbe:
		in.take(h, nil, e)
	default:
		in.dropped(dropUnknownKind)
	}
}

// numbered takes a batch of a link: what it acknowledges, then what is new in it.
func (in *inbox) numbered(h *link.Header, envelopes link.Envelopes, n int) {
	r := in.r
	p := r.peers.lockStranger(h.From)
	if p == nil {
		in.dropped(dropTooManyLinks)
		return
	}
	p.used = in.now
	p.mu.Unlock()
	in.acknowledged(p, h.Ack)
	in.limit = r.peers.refusedLimit()
	var skip int
	var ok bool
	p.do(r, func(l *link.Link) { skip, ok = l.Receive(in.now, h, n, in.limit) })
	r.flush()
	if !ok {
		in.dropped(dropGap)
		return
	}
	var nacks []link.Nack
	within, size := r.lazyAck, len(envelopes)
	r.opts.Gather(true)
	for i := range n {
		e := envelopes.Next()
		if i < skip {
			in.dropped(dropDuplicate)
			continue
		}
		code, mayTake := in.take(h, p.link.Refused(), e)
		if code != 0 {
			nacks = append(nacks, link.Nack{Seq: h.First + uint64(i), Code: code})
			mayTake = 0
		}
		within = min(within, mayTake)
	}
	r.opts.Gather(false)
	if n <= skip {
		return
	}
	p.do(r, func(l *link.Link) { l.Received(r.now(), h, n, skip, size, nacks, within) })
	r.flush()
}

// acknowledged takes what a peer acknowledges, and gives the routes what that settles.
func (in *inbox) acknowledged(p *peer, a link.Ack) {
	r := in.r
	settled, renewed := p.acknowledge(r, a, in.settled[:0])
	if renewed {
		r.m.LinkRenewals.Inc()
		in.logRenewed(p.node)
	}
	if len(settled) > 0 {
		r.settle(p.node, settled)
		r.flush()
	}
	clear(settled)
	in.settled = settled
}

// sayEvery bounds how often one kind of trouble that others can cause is logged.
const sayEvery = time.Minute

// logRenewed logs that a link begins anew. With a key only a peer that has forgotten the link
// makes it so, or a clock that was set back; without one, anybody.
func (in *inbox) logRenewed(peer string) {
	if in.now.Sub(in.renewedLogged) < sayEvery {
		return
	}
	in.renewedLogged = in.now
	if in.r.keyed() {
		in.r.log.Info("link begins anew: its peer had forgotten it, or believed in a later life of it", "peer", peer)
		return
	}
	in.r.log.Warn("link begins anew: its peer believed in a later life of it; without BEELINE_CLUSTER_KEY anybody who may publish can make it so", "peer", peer)
}

// receivedMessage is a message as read, with what only nodes see of it.
type receivedMessage struct {
	Message
	flags    byte
	hops     byte
	accepted int64 // Unix µs
	assumed  ownerSet
}

// readMessage reads a message. Its strings and data are parts of the batch.
func readMessage(e link.Envelope) (a receivedMessage, ok bool) {
	m, ok := e.Message()
	a = receivedMessage{
		Message: Message{
			ID: MessageID(m.ID), From: m.From, To: m.To, Data: m.Data, contentHash: m.ContentHash,
			Confirm: m.Flags&link.FlagConfirm != 0, Droppable: m.Flags&link.FlagDroppable != 0,
		},
		flags: m.Flags, hops: m.Hops, accepted: m.Accepted, assumed: ownerSet(m.Owners),
	}
	if m.Flags&link.FlagDelivered != 0 {
		a.since = a.accepted
	}
	return a, ok
}

// take acts on one envelope. It returns why a message was refused, if it was, and
// how long the acknowledgement may take.
func (in *inbox) take(h *link.Header, refused *link.Refused, e link.Envelope) (code link.NackCode, within time.Duration) {
	r := in.r
	if e.Kind >= link.Kinds {
		in.dropped(dropUnknownKind)
		return 0, r.lazyAck
	}
	r.received[e.Kind].Inc()
	switch e.Kind {
	case link.KindVoid: // it may be a request for an acknowledgement
		return 0, link.PromptAck
	case link.KindMessage:
		return in.takeMessage(h, refused, e)
	case link.KindClaimed:
		if !r.local.claimed(strings.Clone(e.Claimed())) {
			return link.NackNotHere, 0
		}
		return 0, 0
	case link.KindReplaced:
		address, token := e.Replaced()
		return in.takeReplaced(strings.Clone(address), strings.Clone(token)), 0
	case link.KindReceipt:
		if id, o, client, ok := e.Receipt(); ok && o < outcomes {
			r.receipt(h.From, MessageID(id), Outcome(o), client)
			r.flush()
		}
	case link.KindPruned:
		r.generation.end() // claims did not wait for this node
		r.reg.VerifyLeases()
		return 0, link.PromptAck
	case link.KindWithdrawn:
		if in.recent.has(MessageID(e.Withdrawn())) {
			return 0, link.PromptAck
		}
		return link.NackOverloaded, link.PromptAck
	case link.KindProbe:
		if h.From == r.opts.NodeID {
			r.tookProbe(e.Probe())
		}
	}
	return 0, r.lazyAck
}

// takeMessage reads a message and delivers it.
func (in *inbox) takeMessage(h *link.Header, refused *link.Refused, e link.Envelope) (code link.NackCode, within time.Duration) {
	r := in.r
	var ok bool
	if in.received, ok = readMessage(e); !ok || !in.trusts && !in.received.wellMade(r) {
		in.dropped(dropMalformed)
		return link.NackOverloaded, link.PromptAck
	}
	if in.received.Confirm {
		r.origins.note(h.From, in.received.ID.Origin)
	}
	within = r.lazyAck
	if in.received.flags&link.FlagReceipt != 0 {
		within = link.PromptAck
	}
	return in.message(refused, &in.received), within
}

// takeReplaced ends the sessions of an address that another node has replaced. Where the
// setting does not allow that, the other node is one owner more at the most.
func (in *inbox) takeReplaced(address, token string) link.NackCode {
	if in.r.opts.DuplicatesOf(address) == registry.Replace {
		in.r.replaced(address, token)
		return 0
	}
	in.dropped(dropNotReplacing)
	if !in.r.local.claimed(address) {
		return link.NackNotHere
	}
	return 0
}

// wellMade reports whether a message of a node that can't prove to be one is what a
// node would have accepted: sessions pass on names and data as they come.
func (a *receivedMessage) wellMade(r *Router) bool {
	return CheckAddress(a.To) == nil && CheckClient(a.From) == nil && r.opts.ValidData(a.Data)
}

// validJSON is the default of Options.ValidData.
func validJSON(data []byte) bool { return utf8.Valid(data) && json.Valid(data) }

// message delivers a message to this node's sessions. It never routes it again.
func (in *inbox) message(refused *link.Refused, a *receivedMessage) link.NackCode {
	r := in.r
	switch {
	case a.hops > maxHops:
		in.dropped(dropHops)
		return link.NackOverloaded
	case in.recent.has(a.ID):
		in.dropped(dropDuplicate)
		return 0
	case !refused.Admits(a.To, a.flags&link.FlagFirst != 0):
		refused.Add(strings.Clone(a.To), in.now, r.opts.MessageTimeout, in.limit) // this one may be sent again, too
		return link.NackJoining                                                   // not "not here": the entry may be good
	}
	result := r.deliverHere(&a.Message, a.assumed, time.UnixMicro(a.accepted), in.now)
	switch result {
	case ackDelivered:
		in.recent.add(a.ID)
	case ackNotHere:
		r.m.WastedDeliveries.Inc()
	case ackStale:
		r.learn(strings.Clone(a.To))
	}
	if result == ackNotHere || result == ackJoining || result == ackStale {
		refused.Add(strings.Clone(a.To), in.now, r.opts.MessageTimeout, in.limit)
	}
	return nackFor(result)
}

// learn looks up who else owns an address that this node holds, unless Redis may
// have lost data: then no answer would count.
func (r *Router) learn(address string) {
	if !r.reg.AllSettled() {
		return
	}
	s := r.shards.of(address)
	s.lock()
	defer s.unlockAndNotify()
	s.routeTo(address).on(s, routeEvent{kind: ownersWanted})
}

// nackFor returns the nack for a result on this node; 0: it was delivered.
func nackFor(result ackResult) link.NackCode {
	switch result {
	case ackNotHere:
		return link.NackNotHere
	case ackStale:
		return link.NackStale
	case ackJoining:
		return link.NackJoining
	case ackOverloaded:
		return link.NackOverloaded
	}
	return 0
}

func (in *inbox) dropped(why dropReason) { in.r.drops[why].Inc() }
