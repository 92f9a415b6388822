package router

import "github.com/beeline-ws/beeline/router/link"

// What links read of a message that they publish, beside the routes' locks.

// Append appends the message's envelope: only its number if nobody waits for it any more,
// or if it is withdrawn.
func (p *pending) Append(b []byte, f *link.Frame) ([]byte, link.Kind) {
	p.wire.Lock()
	defer p.wire.Unlock()
	switch {
	case p.wire.over:
		return link.AppendBare(b, link.KindVoid), link.KindVoid
	case f.Withdrawn:
		return link.AppendWithdrawn(b, link.MessageID(p.ID)), link.KindWithdrawn
	}
	return p.encodeLocked(b, f.First), link.KindMessage
}

// changeWire changes what links read.
func (p *pending) changeWire(change func()) {
	if p.unanswered > 0 {
		p.wire.Lock()
		defer p.wire.Unlock()
	}
	change()
}

// isOver reports whether p is concluded.
func (p *pending) isOver() bool {
	p.wire.Lock()
	defer p.wire.Unlock()
	return p.wire.over
}

func (p *pending) encodeLocked(b []byte, first bool) []byte {
	var flags byte
	if first {
		flags |= link.FlagFirst
	}
	if p.Receipt {
		flags |= link.FlagReceipt
	}
	if p.Confirm {
		flags |= link.FlagConfirm
	}
	if p.Droppable {
		flags |= link.FlagDroppable
	}
	if p.wire.delivered {
		flags |= link.FlagDelivered
	}
	return appendMessage(b, &p.Message, flags, p.hops, p.accepted.UnixMicro(), p.assumedOwners)
}
