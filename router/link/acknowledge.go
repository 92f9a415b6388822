package link

import "time"

// Acknowledge is what the peer has taken of the link: frames are settled, and appended to
// settled. An acknowledgement that shows that the peer believes in a later life of the
// link, or that somebody else has used up numbers of this one, renews its life; renewed
// reports that. Then frames for which refused is true are settled with AckJoining and the
// others are sent again: refused reports whether the peer has refused an earlier one for
// the same address, which it has forgotten with the former life.
func (l *Link) Acknowledge(now time.Time, a Ack, refused func(Payload) bool, settled []Settled) (_ []Settled, renewed bool) {
	switch {
	case l.Renews(a):
		return l.renew(now, a.Life, refused, settled)
	case a.Life != l.life || a.UpTo < l.window.base:
		return settled, false
	}
	if a.UpTo >= l.high {
		l.high, l.relayed = a.UpTo+1, true
	}
	for nacks := a.Nacks; l.window.base <= a.UpTo; {
		result := AckDelivered
		for len(nacks) > 0 && nacks[0].Seq <= l.window.base {
			if nacks[0].Seq == l.window.base {
				result = nacks[0].Code.Result()
			}
			nacks = nacks[1:]
		}
		settled = l.settleFirst(result, settled)
	}
	if l.window.len() == 0 {
		l.unheardSince = time.Time{}
	}
	l.next = max(l.next, l.window.base)
	l.budget = min(2*l.budget, maxBudget)
	l.await(now)
	return settled, false
}

// Renews reports whether an acknowledgement renews the link's life: the peer believes in a
// later one, or somebody else has used up numbers, or made up the acknowledgement.
func (l *Link) Renews(a Ack) bool {
	return newerLife(a.Life, l.life) || a.Life == l.life && a.UpTo >= l.sent && a.UpTo >= l.window.base
}

// settleFirst takes the first frame off the window.
func (l *Link) settleFirst(result AckResult, settled []Settled) []Settled {
	if l.window.base < l.next {
		l.flying -= l.window.at(l.window.base).Size
	}
	f := l.window.pop()
	l.bytes -= f.Size
	if f.Urgent {
		l.urgent--
	}
	if f.Withdrawn && result == AckOverloaded {
		result = AckTooLarge
	}
	if f.Payload == (ackRequest{}) {
		return settled
	}
	return append(settled, Settled{f.Payload, f.Token, result})
}

// renewEvery bounds how often the life is renewed: what is sent again may be much, and
// the peer says again what it believes.
const renewEvery = 100 * time.Millisecond

// renew begins a new life of the link, newer than theirs, the peer's idea of it, and has sent
// again what is not acknowledged. The peer knows by the messages' IDs what it has had.
func (l *Link) renew(now time.Time, theirs uint64, refused func(Payload) bool, settled []Settled) ([]Settled, bool) {
	if now.Sub(l.renewed) < renewEvery {
		return settled, false
	}
	l.renewed = now
	l.opts.Lives.Saw(theirs)
	anything, old := l.sent > l.window.base, l.window
	l.beginLife(now)
	for old.len() > 0 {
		f := old.pop()
		if refused(f.Payload) {
			settled = append(settled, Settled{f.Payload, f.Token, AckJoining})
			continue
		}
		l.Push(now, f)
	}
	if anything {
		l.high, l.sent = l.window.end, l.window.end // of what was sent, any may have been received
	}
	return settled, true
}
