package link

import (
	"fmt"
	"time"
)

// State is what the sending half of a link is doing.
type State uint8

// The states of a link's sending half.
const (
	// StateIdle means that no frame is published that is not acknowledged. Frames may wait to
	// be published, as long as nobody has called Batch.
	//
	// A batch with frames makes it StateWaiting. PUBLISH that reached nobody, which may be
	// known late, makes it StateSuspended.
	StateIdle State = iota

	// StateWaiting means that published frames wait to be acknowledged; the ack timer runs.
	//
	// An acknowledgement of all that is published makes it StateIdle; one of a part starts
	// the timer anew. When the ack timeout has passed it goes back and is StateStalled. A
	// connection that was lost makes it StateIdle, which goes back, too. PUBLISH that
	// reached nobody makes it StateSuspended.
	StateWaiting

	// StateStalled means that the last ack timeout has passed without an acknowledgement. What
	// is not acknowledged is published again, and the retry delay has grown.
	//
	// Any acknowledgement of what was sent makes it StateIdle or StateWaiting. Another
	// timeout, or PUBLISH that reached nobody, makes it StateSuspended.
	StateStalled

	// StateSuspended means that nothing is published, since the peer may be dead or
	// unsubscribed. What was published may still be acknowledged.
	//
	// The caller finds out which: Resume goes back and makes it StateStalled if timeouts
	// have passed, else StateIdle. DeclareDead settles all frames and makes it StateIdle.
	StateSuspended
)

var stateNames = [...]string{"StateIdle", "StateWaiting", "StateStalled", "StateSuspended"}

// String returns the state's name.
func (s State) String() string { return stateNames[s] }

// await is StateIdle or StateWaiting, whichever it is by what is published: what was
// sent is being acknowledged. A suspended link stays so.
func (l *Link) await(now time.Time) {
	l.retryDelay, l.waitingSince = RetryDelay, time.Time{}
	switch {
	case l.state == StateSuspended:
	case l.next > l.window.base:
		l.state, l.waitingSince = StateWaiting, now
	default:
		l.state = StateIdle
	}
}

// stall is StateStalled: nobody has acknowledged in time.
func (l *Link) stall() {
	l.state = StateStalled
	l.retryDelay = min(2*l.retryDelay, maxRetryDelay)
	l.goBack()
}

// Suspend has nothing published until Resume: the caller may know a reason of its own. It
// reports whether the link was not suspended yet.
func (l *Link) Suspend() bool {
	suspended := l.state != StateSuspended
	l.state, l.waitingSince = StateSuspended, time.Time{}
	return suspended
}

// goBack has everything published again that is not acknowledged. The ack timer stops
// until that is done.
func (l *Link) goBack() {
	l.next, l.flying, l.waitingSince = l.window.base, 0, time.Time{}
	l.turn++
	if l.state == StateWaiting {
		l.state = StateIdle
	}
}

// Check returns which invariant does not hold, or nil. It looks at every frame: it is for
// tests.
func (l *Link) Check() error {
	w := &l.window
	var size, flying, urgent int
	for seq := w.base; seq < w.end; seq++ {
		f := w.at(seq)
		size += f.Size
		if seq < l.next {
			flying += f.Size
		}
		if f.Urgent {
			urgent++
		}
	}
	timed := !l.waitingSince.IsZero()
	for _, rule := range []struct {
		what  string
		holds bool
	}{
		{"base <= next <= high <= sent <= end", w.base <= l.next && l.next <= l.high && l.high <= l.sent && l.sent <= w.end},
		{"the window is bounded", w.len() <= MaxWindow && w.base > 0},
		{"the window's bytes are its frames'", size == l.bytes},
		{"flying are those that are published", flying == l.flying},
		{"urgent frames are counted", urgent == l.urgent},
		{"the budget is within its bounds", minBudget <= l.budget && l.budget <= maxBudget},
		{"the retry delay is within its bounds", RetryDelay <= l.retryDelay && l.retryDelay <= maxRetryDelay},
		{"StateIdle: nothing is published, no retry", l.state != StateIdle || l.next == w.base && l.retryDelay == RetryDelay},
		{"StateWaiting: something is published, no retry", l.state != StateWaiting || l.next > w.base && l.retryDelay == RetryDelay},
		{"StateStalled: retries", l.state != StateStalled || l.retryDelay > RetryDelay},
		{"the ack timer runs while something is published, unless suspended", timed == (l.next > w.base && l.state != StateSuspended)},
		{"what PUBLISH counted for nobody is in the window", l.unheardSince.IsZero() || w.len() > 0},
		{"an unheard link is suspended", !l.unheard || l.state == StateSuspended},
		{"life is none", l.life != 0},
		{"the next number is one", l.in.expected > 0},
		{"an acknowledgement that is due has a time", !l.in.ackNow || !l.in.due.IsZero()},
		{"nacks are of what was received, in order", l.in.nacksInOrder()},
	} {
		if !rule.holds {
			return fmt.Errorf("not so: %s: %s", rule.what, l)
		}
	}
	return nil
}

// Numbers returns the sending half's numbers: see Link.
func (l *Link) Numbers() (base, next, high, sent, end uint64) {
	return l.window.base, l.next, l.high, l.sent, l.window.end
}

// String describes the link for debugging.
func (l *Link) String() string {
	s := fmt.Sprintf("%s life=%x base=%d next=%d high=%d sent=%d end=%d bytes=%d flying=%d budget=%d retry=%v",
		l.state, l.life, l.window.base, l.next, l.high, l.sent, l.window.end, l.bytes, l.flying, l.budget, l.retryDelay)
	if l.unheard {
		s += " unheard"
	}
	s += fmt.Sprintf(" | peer=%x expected=%d nacks=%d", l.in.life, l.in.expected, len(l.in.nacks))
	switch {
	case l.in.ackNow:
		s += " ack=now"
	case !l.in.due.IsZero():
		s += " ack=later"
	}
	return s
}
