package link

import "time"

// maxNumber is more than a link ever numbers in one life.
const maxNumber = 1 << 62

// receiver is the receiving half of a link.
type receiver struct {
	life     uint64 // the peer's
	expected uint64 // the next number to take
	nacks    []Nack // that the peer may not know of yet
	heard    time.Time

	// The acknowledgement that is owed.
	due         time.Time // when it is sent at the latest; zero: none is owed
	ackNow      bool      // it is sent with the next batch, which it is worth
	frames      int       // that it is for
	framesBytes int
}

// Receive is called when a batch with so many frames has come. It decides which of them are
// new: all but the first skip, or, if not ok, none.
//
// A gap means that an earlier batch was lost; the sender will go back to it. What was sent
// in a former life of the link, and was held up on its way, comes too late: it was settled,
// and its numbers are not those of now. Nor is more taken while limit frames were refused
// that the sender does not know of yet. What the peer has missed, or sends again, it gets
// another acknowledgement for.
func (l *Link) Receive(now time.Time, h *Header, frames, limit int) (skip int, ok bool) {
	skip, ok, anew := l.in.take(h, frames, limit)
	if anew {
		l.refused = Refused{}
	}
	if frames > 0 && l.in.life != 0 && (!ok || skip > 0) {
		l.in.owe(now, 0, 0, 0)
	}
	return skip, ok
}

func (in *receiver) take(h *Header, frames, limit int) (skip int, ok, anew bool) {
	if h.Base == 0 || h.Base > h.First || h.First-h.Base+uint64(frames) > MaxWindow+1 || h.First > maxNumber {
		return 0, false, false // no link of ours has such a window
	}
	if newerLife(in.life, h.Life) {
		return 0, false, false
	}
	if anew = in.life != h.Life; anew {
		*in = receiver{life: h.Life, expected: h.Base, due: in.due, ackNow: in.ackNow, heard: in.heard}
	}
	for len(in.nacks) > 0 && in.nacks[0].Seq < h.Base {
		in.nacks = in.nacks[1:]
	}
	if h.Base > in.expected { // somebody else has acknowledged what did not come: it will not be sent again
		in.expected = h.Base
	}
	if h.First > in.expected || len(in.nacks) >= limit {
		return 0, false, anew
	}
	return int(min(in.expected-h.First, uint64(frames))), true, anew
}

// Received is the end of what Receive has begun: of so many frames all but the first skip
// have been acted on, with these nacks, and have to be acknowledged within that time.
// size is their bytes.
func (l *Link) Received(now time.Time, h *Header, frames, skip, size int, nacks []Nack, within time.Duration) {
	l.in.expected = h.First + uint64(frames)
	l.in.nacks = append(l.in.nacks, nacks...)
	l.in.owe(now, frames-skip, size, within)
}

// owe notes that the peer is to have an acknowledgement within d, of n frames more that
// have so many bytes.
func (in *receiver) owe(now time.Time, n, size int, d time.Duration) {
	in.frames += n
	in.framesBytes += size
	if in.frames >= ackFrames || in.framesBytes >= ackBytes {
		d = 0
	}
	if d == PromptAck && now.Sub(in.heard) > quietTime {
		d = 0
	}
	in.heard = now
	if due := now.Add(d); in.due.IsZero() || due.Before(in.due) {
		in.due = due
	}
	in.ackNow = in.ackNow || d == 0
}

// AckNow has an acknowledgement sent with the next batch if one is owed at all.
func (l *Link) AckNow() { l.in.ackNow = !l.in.due.IsZero() }

// OwesAck reports whether an acknowledgement is owed.
func (l *Link) OwesAck() bool { return !l.in.due.IsZero() }

// Nacks returns how many nacks are kept that the peer may not know of.
func (l *Link) Nacks() int { return len(l.in.nacks) }

// acknowledge returns the acknowledgement that travels now.
func (in *receiver) acknowledge() Ack {
	in.due, in.ackNow, in.frames, in.framesBytes = time.Time{}, false, 0, 0
	if in.life == 0 {
		return Ack{}
	}
	return Ack{Life: in.life, UpTo: in.expected - 1, Nacks: in.nacks}
}

func (in *receiver) nacksInOrder() bool {
	last := uint64(0)
	for _, n := range in.nacks {
		if n.Seq <= last || n.Seq >= in.expected {
			return false
		}
		last = n.Seq
	}
	return true
}
