package link

import "time"

// Options configure a link.
type Options struct {
	Lives *Lives // of all links of this node
	// LazyAck is how long the peer may take to acknowledge what nobody waits for. All nodes
	// have the same.
	LazyAck time.Duration
	// ReplyTime is how long before PUBLISH's reply a batch was published at the most.
	ReplyTime time.Duration
}

// Link is the state of the conversation with one peer. Its caller has a lock.
type Link struct {
	opts  Options
	state State

	// The sending half. Of the frames in the window, those below next are published, those
	// below high may have been received by what PUBLISH says, and those below sent by what
	// it does not know: after a failover the peer may still be subscribed to the former
	// master, which is a replica now.
	life    uint64
	window  window
	next    uint64
	high    uint64
	sent    uint64
	turn    uint64 // how often the link has gone back
	relayed bool   // the peer has acknowledged what PUBLISH had counted for nobody
	// unheardSince is since when the window may have what PUBLISH has counted for nobody.
	unheardSince time.Time
	unheard      bool // PUBLISH has reached nobody since the link was suspended
	bytes        int  // the sizes of the window's frames
	flying       int  // of those that are published
	budget       int  // for them
	urgent       int  // frames of the window that somebody waits for

	waitingSince time.Time // since when the ack timer runs; zero: it does not
	retryDelay   time.Duration
	renewed      time.Time // when the life was renewed last

	in receiver
	// refused belongs to the goroutine that receives, and needs no lock.
	refused Refused
}

// New returns a link that has sent and received nothing.
func New(now time.Time, opts Options) *Link {
	l := &Link{opts: opts, in: receiver{life: opts.Lives.Floor(), expected: 1}}
	l.beginLife(now)
	return l
}

// beginLife forgets what was sent: the peer sees a new life of the link and takes its
// numbers from the start. What was received stays, and so does StateSuspended.
func (l *Link) beginLife(now time.Time) {
	l.life = l.opts.Lives.Next(now)
	l.window = window{base: 1, end: 1}
	l.next, l.high, l.sent = 1, 1, 1
	l.bytes, l.flying, l.urgent = 0, 0, 0
	l.budget = maxBudget
	l.relayed, l.unheardSince = false, time.Time{}
	l.await(now)
}

// Ready reports whether Batch has something to publish: frames, or an acknowledgement that
// is due.
func (l *Link) Ready() bool {
	return l.state != StateSuspended && (l.mayPublish() || l.in.ackNow && l.in.life != 0)
}

// NextDeadline is when Tick has something to do; zero if never, as things are.
func (l *Link) NextDeadline() time.Time {
	if l.state == StateSuspended {
		return time.Time{}
	}
	var ack, retry time.Time
	if !l.in.ackNow {
		ack = l.in.due
	}
	if !l.waitingSince.IsZero() {
		retry = l.waitingSince.Add(l.ackTimeout())
	}
	if retry.IsZero() || !ack.IsZero() && ack.Before(retry) {
		return ack
	}
	return retry
}

// Tick is called at NextDeadline. An acknowledgement may be due then, and frames that were not
// acknowledged within the ack timeout are published again. Tick suspends the link when
// that happens twice in a row, since PUBLISH finds a listener but nobody answers, and
// reports whether it did.
func (l *Link) Tick(now time.Time) (suspended bool) {
	if l.state == StateSuspended {
		return false
	}
	if !l.in.due.IsZero() && !now.Before(l.in.due) {
		l.in.ackNow = true
	}
	if l.waitingSince.IsZero() || now.Sub(l.waitingSince) < l.ackTimeout() {
		return false
	}
	again := l.state == StateStalled
	l.lose()
	l.stall()
	return again && l.Suspend()
}

// ackTimeout is how long an acknowledgement may take.
func (l *Link) ackTimeout() time.Duration {
	if l.urgent > 0 {
		return l.retryDelay
	}
	return l.retryDelay + l.opts.LazyAck
}

// GoBack is called when the connection on which batches were published is lost. Frames that are
// not acknowledged are published again as soon as there is another connection.
func (l *Link) GoBack() { l.goBack() }

// Resume ends StateSuspended: the peer lives and is subscribed. It may have missed what was
// published before, so that is published again.
func (l *Link) Resume(now time.Time) {
	l.unheard = false
	l.lose()
	l.goBack()
	if l.state = StateIdle; l.retryDelay > RetryDelay {
		l.state = StateStalled
	}
	if !l.in.due.IsZero() && !now.Before(l.in.due) {
		l.in.ackNow = true
	}
}

// DeclareDead is the peer's death, the end of StateSuspended: every frame is settled, and
// the next one begins a new life. What was received stays: if the peer was only away, what
// it has sent meanwhile must not pass what was refused. countsHold says that whatever
// PUBLISH has counted for nobody was heard by nobody.
func (l *Link) DeclareDead(now time.Time, countsHold bool, settled []Settled) []Settled {
	mayHave := l.sent
	if countsHold && !l.relayed {
		mayHave = l.high
	}
	for l.window.len() > 0 {
		result := AckDead
		if l.window.base < mayHave {
			result = AckUnknown
		}
		settled = l.settleFirst(result, settled)
	}
	l.state, l.unheard = StateIdle, false
	l.beginLife(now)
	l.AckNow()
	return settled
}

// Clear forgets the frames, for which nobody waits any more, and begins a new life. The
// state stays what it is.
func (l *Link) Clear(now time.Time) { l.beginLife(now) }

// State returns what the sending half is doing.
func (l *Link) State() State { return l.state }

// Stalls reports whether something was published again and not acknowledged yet.
func (l *Link) Stalls() bool { return l.retryDelay > RetryDelay }

// Unused reports whether nothing is to be done on the link.
func (l *Link) Unused() bool {
	return l.window.len() == 0 && l.in.due.IsZero() && l.state != StateSuspended
}

// Len returns how many frames are not acknowledged.
func (l *Link) Len() int { return l.window.len() }

// Bytes returns their size.
func (l *Link) Bytes() int { return l.bytes }

// UnheardSince returns since when the window may have what PUBLISH has counted for
// nobody; zero if it has nothing of that kind.
func (l *Link) UnheardSince() time.Time { return l.unheardSince }

// Unheard reports whether PUBLISH has reached nobody since the link was suspended.
func (l *Link) Unheard() bool { return l.unheard }

// Life returns the number of the present life, PeerLife that of the peer's: the last that
// was received, or the newest that is refused.
func (l *Link) Life() uint64 { return l.life }

// PeerLife is described at Life.
func (l *Link) PeerLife() uint64 { return l.in.life }

// Payloads calls visit for what waits to be acknowledged, until it returns false. It
// reports whether it never did.
func (l *Link) Payloads(visit func(Payload) bool) bool {
	for seq := l.window.base; seq < l.window.end; seq++ {
		if p := l.window.at(seq).Payload; p != (ackRequest{}) && !visit(p) {
			return false
		}
	}
	return true
}
