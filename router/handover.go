package router

import (
	"context"
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// Messages for this node's sessions that go by a route, since other nodes own the
// address too or may do so, are handed over by whoever releases mu next, without mu: a
// delivery may be to many, and each writes to a socket. Of one route one goroutine at a
// time hands over, in the order in which the messages were put in.

// handoverState says what becomes of the messages of a route that are for the sessions here.
type handoverState uint8

const (
	// handoverIdle: there are none. The first one makes it handoverRunning.
	handoverIdle handoverState = iota
	// handoverRunning: somebody hands them over, or is about to. When nothing is left, it is
	// handoverIdle.
	handoverRunning
	// handoverRefused: the same, but a message was not taken, because the address is joining or
	// leaving. Those behind it are not handed over either, or they would pass it.
	handoverRefused
)

// handoverQueue is the messages of a route that are for the sessions here, in order.
// Its shard's mu guards it.
type handoverQueue struct {
	state     handoverState
	items     []handover
	fallbacks int // messages that are handed over because Redis does not answer
}

// handover is a message on its way to this node's sessions. Its message is a copy,
// since the pending one may meet its deadline meanwhile.
type handover struct {
	p             *pending
	message       Message
	owner         registry.Owner // this node
	assumedOwners ownerSet
	fallback      bool // Redis does not answer; see deliverLocally
	result        ackResult
}

// maxHandoverRoom is how many handovers the room that is kept for them has.
const maxHandoverRoom = 1 << 8

// handOver has a message handed over by whoever releases mu.
func (rt *route) handOver(s *shard, x handover) {
	q := &rt.handovers
	if q.items == nil {
		q.items, s.handoverRoom = s.handoverRoom[:0], nil
	}
	x.message = x.p.Message
	q.items = append(q.items, x)
	if q.state == handoverIdle {
		q.state = handoverRunning
		s.handovers = append(s.handovers, rt)
	}
}

// handoverTurn is how many messages of a route are handed over by whoever releases mu. It
// may be a sweep, or an event loop, and others may put in more without end: a
// goroutine of its own goes on then.
const handoverTurn = 1 << 9

// handOverDue hands over what is due. It is called without mu.
func (s *shard) handOverDue() {
	s.lock()
	defer s.unlockAndNotify()
	for len(s.handovers) > 0 {
		rt := s.handovers[0]
		s.handovers = slices.Delete(s.handovers, 0, 1)
		for rt.handOverTurn(s) {
			if s.r.run(func(context.Context) { rt.handOverRest(s) }) {
				break
			}
		}
	}
}

// handOverRest hands over until nothing is due on the route. Between two turns it publishes
// and runs the callbacks of what they have answered.
func (rt *route) handOverRest(s *shard) {
	for more := true; more; {
		s.lock()
		more = rt.handOverTurn(s)
		s.unlockAndNotify()
		s.r.flush()
	}
}

// handOverTurn hands over up to handoverTurn messages of the route, and reports whether there
// are more: then the caller has to go on, since nobody else will. It lets go of mu meanwhile.
func (rt *route) handOverTurn(s *shard) (more bool) {
	q := &rt.handovers
	for left := handoverTurn; len(q.items) > 0; {
		if left == 0 {
			return true
		}
		list := q.items
		q.items = nil
		if len(list) > left {
			list, q.items = list[:left:left], list[left:]
		}
		left -= len(list)
		refused := q.state == handoverRefused
		s.mu.Unlock()
		for i := range list {
			refused = !list[i].deliver(s, refused)
		}
		s.lock()
		if refused {
			q.state = handoverRefused
		}
		for i := range list {
			list[i].done(s, rt)
		}
		clear(list)
		if cap(list) <= maxHandoverRoom {
			s.handoverRoom = list[:0]
		}
	}
	q.state = handoverIdle
	rt.on(s, routeEvent{kind: handedOver})
	return false
}

// deliver is called without mu, by the one goroutine that hands over for the route. It
// reports whether the next message may be handed over.
func (x *handover) deliver(s *shard, refused bool) bool {
	switch {
	case refused:
		x.result = ackJoining
	case x.fallback:
		x.result = s.r.deliverOnce(&x.message, func() ackResult { return s.r.local.deliver(s.r.fan, &x.message, noneAssumed) })
	default:
		x.result = s.r.deliverHere(&x.message, x.assumedOwners, x.p.accepted, s.r.now())
	}
	return x.result == ackDelivered || x.result == ackOverloaded
}

// done takes what became of the message, with mu held.
func (x *handover) done(s *shard, rt *route) {
	p := x.p
	if !x.fallback {
		p.acked(s, x.owner, x.result)
		return
	}
	rt.handovers.fallbacks--
	if p.state == pendingFallback {
		p.state = pendingWaiting
	}
	switch x.result {
	case ackDelivered:
		s.r.delivery[pathLocal].Observe(s.now().Sub(p.accepted).Seconds())
		p.arrived(s, s.r.opts.NodeID)
	case ackOverloaded:
		p.refused(s.r.opts.NodeID, s.r.overloaded(overloadQueue))
	}
}
