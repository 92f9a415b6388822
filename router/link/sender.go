package link

import "time"

// Push puts a frame into the window, from where the next batch takes it. A full window
// is the caller's to answer: then nothing is queued, and Push is false.
func (l *Link) Push(now time.Time, f Frame) bool {
	if l.window.len() >= MaxWindow {
		return false
	}
	l.bytes += f.Size
	if f.Urgent {
		if l.urgent++; l.urgent == 1 && !l.waitingSince.IsZero() {
			l.waitingSince = now // it was not this one that took so long
		}
	}
	l.window.push(f)
	return true
}

// RequestAck has the peer acknowledge what it has received, unless it will do so soon, or
// nothing waits.
func (l *Link) RequestAck(now time.Time) {
	if l.window.len() > 0 && l.urgent == 0 {
		l.Ping(now)
	}
}

// Ping has the peer acknowledge, whether something waits or not.
func (l *Link) Ping(now time.Time) { l.Push(now, Frame{Payload: ackRequest{}, Urgent: true}) }

// Batch is one PUBLISH of a link, to be given back to Published.
type Batch struct {
	Count int // its frames

	life  uint64
	first uint64
	high  uint64 // the link's, before this batch
	turn  uint64 // the link's
}

// Counts is what was put into a batch.
type Counts struct {
	Kinds  [Kinds]int
	Resent int // frames that PUBLISH had given to somebody before
}

// Batch appends what is to be published to b: frames, up to MaxBatchBytes or what is left
// of the budget and one frame more, and the acknowledgement that is owed. A large frame
// travels alone. The header has the sender's name and whether there is room for a MAC. The
// link must be Ready.
func (l *Link) Batch(now time.Time, h Header, b []byte) ([]byte, Batch, Counts) {
	h.Life, h.First, h.Base = l.life, l.next, l.window.base
	h.Ack = l.in.acknowledge()
	out, counts := Batch{life: l.life, first: l.next, high: l.high, turn: l.turn}, Counts{}
	b = AppendHeader(b, &h)
	for l.fits(len(b), out.first) {
		f := l.window.at(l.next)
		var kind Kind
		b, kind = f.Payload.Append(b, f)
		counts.Kinds[kind]++
		if l.next < l.high {
			counts.Resent++
		}
		l.flying += f.Size
		l.next++
		out.Count++
	}
	l.high = max(l.high, l.next) // the answer may come before PUBLISH's reply
	l.sent = max(l.sent, l.high)
	if out.Count > 0 && l.waitingSince.IsZero() {
		l.waitingSince = now
		if l.state == StateIdle {
			l.state = StateWaiting
		}
	}
	return b, out, counts
}

// Published is PUBLISH's reply to a batch: how many subscribers it reached, or that it
// failed. If it reached none and something waits, the link is suspended; Published reports
// whether it was not yet.
func (l *Link) Published(now time.Time, b *Batch, receivers int64, failed bool) (suspended bool) {
	switch {
	case b.life != l.life: // of a former life
		return false
	case failed: // it may have arrived or not: the ack timer runs
		return false
	case receivers == 0:
		return l.reachedNobody(now, b)
	}
	l.high = max(l.high, b.first+uint64(b.Count))
	l.counted(b)
	return false
}

// reachedNobody is a reply of 0. If the batch was the first with some numbers, nobody has
// taken those, nor what followed, since there is a gap: so high is what it was before. If the
// link has gone back meanwhile, the batch's frames were published again, and the peer may
// have them from there.
func (l *Link) reachedNobody(now time.Time, b *Batch) (suspended bool) {
	if base := l.window.base; b.turn == l.turn {
		if b.first+uint64(b.Count) > b.high {
			l.high = max(min(l.high, b.high), base)
		}
		for ; l.next > max(base, b.first); l.next-- {
			l.flying -= l.window.at(l.next - 1).Size
		}
	}
	if l.window.len() == 0 {
		return false
	}
	l.unheard = true
	if l.unheardSince.IsZero() {
		l.unheardSince = now.Add(-l.opts.ReplyTime)
	}
	return l.Suspend()
}
