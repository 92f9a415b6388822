package router

import (
	"errors"
	"strings"
	"time"
)

// handle takes one payload: a batch, or a foreign publisher's JSON.
func (in *inbox) handle(payload string) {
	in.now = in.r.now()
	if strings.HasPrefix(payload, "{") {
		in.foreign(payload)
		return
	}
	h, envelopes, err := readHeader(payload)
	if errors.Is(err, errVersion) {
		in.dropped(dropVersion)
		return
	}
	n, ok := wellFormed(envelopes)
	if err != nil || !ok {
		in.dropped(dropMalformed)
		return
	}
	if h.link == 0 {
		for rest := (reader{rest: envelopes}); rest.rest != ""; {
			in.take(&h, nil, rest.next())
		}
		return
	}
	in.numbered(&h, envelopes, n)
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
	skip, ok := l.in.takes(h, n)
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
		var ok bool
		if in.arrival, ok = e.message(); !ok {
			in.dropped(dropMalformed)
			return 0, r.lazyAck
		}
		if in.arrival.Confirm {
			r.cameFrom(h.from, in.arrival.ID.Origin)
		}
		if in.arrival.flags&flagReceipt != 0 {
			return in.message(h, from, &in.arrival), receiptAck
		}
		return in.message(h, from, &in.arrival), r.lazyAck
	case kindClaimed:
		if !r.holdings.claimed(strings.Clone(body.str())) {
			return refusedNotHere, 0
		}
		return 0, 0
	case kindReplaced:
		address, token := strings.Clone(body.str()), body.str()
		r.replaced(address, strings.Clone(token))
		return 0, 0
	case kindReceipt:
		id := MessageID{Origin: body.uint64(), Count: body.uvarint()}
		if o, client := body.byte(), body.str(); !body.bad && o < outcomes {
			r.mu.Lock()
			r.receipt(h.from, id, Outcome(o), client)
			r.unlock()
		}
	case kindPruned:
		r.holdings.disturbed() // claims did not wait for this node
		r.reg.Lapsed()
		return 0, receiptAck
	case kindProbe:
		if h.from == r.opts.NodeID {
			r.heardProbe(body.uvarint())
		}
	}
	return 0, r.lazyAck
}

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
	case from != nil && !from.admits(a):
		from.refuse(strings.Clone(a.To), in.now, r.opts.MessageTimeout) // this one may be sent again, too
		return refusedJoining                                           // not "not here": the entry may be good
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
		from.refuse(strings.Clone(a.To), in.now, r.opts.MessageTimeout)
	}
	return refusalOf[f]
}

// learn looks up who else owns an address that this node holds, unless Redis may
// have lost data: then no answer would count.
func (r *Router) learn(address string) {
	if !r.reg.Undisturbed() {
		return
	}
	r.mu.Lock()
	defer r.unlock()
	rt := r.routeTo(address)
	rt.learning = true
	r.quiet.remove(rt)
	rt.ask(r)
}

var refusalOf = map[fate]refusal{
	fateNotHere:    refusedNotHere,
	fateStale:      refusedStale,
	fateJoining:    refusedJoining,
	fateOverloaded: refusedOverloaded,
}

func (in *inbox) dropped(why dropReason) { in.r.drops[why].Inc() }
