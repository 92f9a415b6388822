package router

import (
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/beeline-ws/beeline/registry"
)

// handle takes one payload that came by a channel: a batch.
func (in *inbox) handle(channel, payload string) {
	in.now = in.r.now()
	opened, err := in.signer.open(channel, payload)
	if err != nil {
		in.refused(channel, payload, err)
		return
	}
	h, envelopes, err := readHeader(opened)
	n, ok := wellFormed(envelopes)
	if err != nil || !ok {
		in.dropped(dropMalformed)
		return
	}
	switch {
	case h.link == 0:
		for rest := (reader{rest: envelopes}); rest.rest != ""; {
			in.unnumbered(&h, rest.next())
		}
	case channel != in.private || h.from == in.r.opts.NodeID: // links are between two nodes
		in.dropped(dropMalformed)
	default:
		in.numbered(&h, envelopes, n)
	}
}

// refused counts a payload that was not opened, by its reason, and says the same in the
// log, because nodes that can't verify each other don't hear each other.
func (in *inbox) refused(channel, payload string, err error) {
	switch {
	case errors.Is(err, errUnsigned):
		in.dropped(dropUnsigned)
	case errors.Is(err, errForged):
		in.dropped(dropForged)
	case errors.Is(err, errMalformed):
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

// unnumbered takes what no link numbers: a probe, and a baseline's message, unless it
// may be one that is played again.
func (in *inbox) unnumbered(h *header, e envelope) {
	switch e.kind {
	case kindMessage, kindProbe:
		in.take(h, nil, e)
	default:
		in.dropped(dropUnknownKind)
	}
}

// numbered takes a batch of a link: what it acknowledges, then what is new in it.
func (in *inbox) numbered(h *header, envelopes string, n int) {
	r := in.r
	r.mu.Lock()
	if r.links[h.from] == nil && len(r.links) >= maxLinks {
		r.unlock()
		in.dropped(dropTooManyLinks)
		return
	}
	l := r.linkTo(h.from)
	l.acknowledged(r, h.ack)
	in.limit = r.refusalLimit()
	skip, ok := l.in.takes(h, n, in.limit)
	if n > 0 && l.in.link != 0 && (!ok || skip > 0) { // what it missed or has seen it says again
		l.owe(r, 0, 0, 0)
	}
	r.unlock()
	if !ok {
		in.dropped(dropGap)
		return
	}
	var refused []exception
	within := r.lazyAck
	rest := reader{rest: envelopes}
	r.opts.Gather(true)
	for i := range n {
		e := rest.next()
		if i < skip {
			in.dropped(dropDuplicate)
			continue
		}
		code, patience := in.take(h, &l.in, e)
		if code != 0 {
			refused = append(refused, exception{h.first + uint64(i), code})
			patience = 0
		}
		within = min(within, patience)
	}
	r.opts.Gather(false)
	if n <= skip {
		return
	}
	r.mu.Lock()
	l.in.expected = h.first + uint64(n)
	l.in.exceptions = append(l.in.exceptions, refused...)
	l.owe(r, n-skip, len(envelopes), within)
	r.unlock()
}

// take acts on one envelope. It returns why a message was refused, if it was, and
// how long the acknowledgement may take.
func (in *inbox) take(h *header, from *inlink, e envelope) (code refusal, within time.Duration) {
	r := in.r
	if e.kind >= kinds {
		in.dropped(dropUnknownKind)
		return 0, r.lazyAck
	}
	r.received[e.kind].Inc()
	body := reader{rest: e.body}
	switch e.kind {
	case kindVoid: // it may be a nudge
		return 0, receiptAck
	case kindMessage:
		return in.takeMessage(h, from, e)
	case kindClaimed:
		if !r.local.claimed(strings.Clone(body.str())) {
			return refusedNotHere, 0
		}
		return 0, 0
	case kindReplaced:
		return in.takeReplaced(strings.Clone(body.str()), strings.Clone(body.str())), 0
	case kindReceipt:
		id := MessageID{Origin: body.uint64(), Count: body.uvarint()}
		if o, client := body.byte(), body.str(); !body.bad && o < outcomes {
			r.mu.Lock()
			r.receipt(h.from, id, Outcome(o), client)
			r.unlock()
		}
	case kindPruned:
		r.local.newGeneration() // claims did not wait for this node
		r.reg.VerifyLeases()
		return 0, receiptAck
	case kindWithdrawn:
		if in.recent.has(MessageID{Origin: body.uint64(), Count: body.uvarint()}) {
			return 0, receiptAck
		}
		return refusedOverloaded, receiptAck
	case kindProbe:
		if h.from == r.opts.NodeID {
			r.heardProbe(body.uvarint())
		}
	}
	return 0, r.lazyAck
}

// takeMessage reads a message and delivers it.
func (in *inbox) takeMessage(h *header, from *inlink, e envelope) (code refusal, within time.Duration) {
	r := in.r
	var ok bool
	if in.arrival, ok = e.message(); !ok || !in.trusts && !in.arrival.wellMade(r) {
		in.dropped(dropMalformed)
		return refusedOverloaded, receiptAck
	}
	if in.arrival.Confirm {
		r.cameFrom(h.from, in.arrival.ID.Origin)
	}
	within = r.lazyAck
	if in.arrival.flags&flagReceipt != 0 {
		within = receiptAck
	}
	return in.message(h, from, &in.arrival), within
}

// takeReplaced ends the sessions of an address that another node has replaced. Where the
// setting does not allow that, the other node is one owner more at the most.
func (in *inbox) takeReplaced(address, token string) refusal {
	if in.r.opts.Duplicates == registry.Replace {
		in.r.replaced(address, token)
		return 0
	}
	in.dropped(dropNotReplacing)
	if !in.r.local.claimed(address) {
		return refusedNotHere
	}
	return 0
}

// wellMade reports whether a message of a node that can't prove to be one is what a
// node would have accepted: sessions pass on names and data as they come.
func (a *arrival) wellMade(r *Router) bool {
	return CheckAddress(a.To) == nil && CheckClient(a.From) == nil && r.opts.ValidData(a.Data)
}

// validJSON is the default of Options.ValidData.
func validJSON(data []byte) bool { return utf8.Valid(data) && json.Valid(data) }

// message delivers a message to this node's sessions. It never routes it again.
func (in *inbox) message(h *header, from *inlink, a *arrival) refusal {
	r := in.r
	switch {
	case a.hops > maxHops:
		in.dropped(dropHops)
		return refusedOverloaded
	case in.recent.has(a.ID):
		in.dropped(dropDuplicate)
		return 0
	case from == nil && in.stale(a):
		in.dropped(dropStale)
		return 0
	case from != nil && !from.admits(a):
		from.refuse(strings.Clone(a.To), in.now, r.opts.MessageTimeout, in.limit) // this one may be sent again, too
		return refusedJoining                                                     // not "not here": the entry may be good
	}
	f := r.deliverHere(&a.Message, a.believed, time.UnixMicro(a.accepted), in.now)
	switch f {
	case fateDelivered:
		in.recent.add(a.ID)
	case fateNotHere:
		r.m.WastedDeliveries.Inc()
	case fateStale:
		r.learn(strings.Clone(a.To))
	}
	if from == nil {
		r.reply(h.from, a, f)
		return 0
	}
	if f == fateNotHere || f == fateJoining || f == fateStale {
		from.refuse(strings.Clone(a.To), in.now, r.opts.MessageTimeout, in.limit)
	}
	return refusalOf[f]
}

// learn looks up who else owns an address that this node holds, unless Redis may
// have lost data: then no answer would count.
func (r *Router) learn(address string) {
	if !r.reg.AllSettled() {
		return
	}
	r.mu.Lock()
	defer r.unlock()
	rt := r.routeTo(address)
	rt.learning = true
	r.idleRoutes.remove(rt)
	rt.ask(r)
}

var refusalOf = map[fate]refusal{
	fateNotHere:    refusedNotHere,
	fateStale:      refusedStale,
	fateJoining:    refusedJoining,
	fateOverloaded: refusedOverloaded,
}

func (in *inbox) dropped(why dropReason) { in.r.drops[why].Inc() }
