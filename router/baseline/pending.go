package baseline

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// phase is how far a message has come.
type phase uint8

const (
	// queued: it waits for the publisher, which makes it publishing. At its deadline it ends,
	// and the publisher skips it.
	queued phase = iota
	// publishing: a PUBLISH with it is under way. Its reply ends it (Published, Offline) or makes
	// it published. A receipt may come before the reply.
	publishing
	// published: it waits for a receipt, which ends it, or for its deadline, when it ends
	// with Delivered if a node has it (a confirmation did not come), else with Timeout.
	published
	// ended: its outcome was told.
	ended
)

// sent is a message that was accepted, until it has its outcome and the publisher has let go
// of it. Router.mu guards it; its message is not changed while it is publishing.
type sent struct {
	router.Message
	done     func(router.MessageID, router.Outcome)
	accepted time.Time
	phase    phase
	held     bool // the publisher refers to it
	reached  int  // nodes that have put it into the queue of a session
	dropped  int  // nodes that have dropped it from there
	size     int  // of its data

	older, newer *sent  // in the order of acceptance, which is that of deadlines
	room         []byte // that Data is in, for the next message, too
}

// lost reports whether every node that had s has dropped it from its sessions' queues.
func (s *sent) lost() bool { return s.dropped > 0 && s.dropped >= s.reached }

// atLast is the outcome of s if it has none at its deadline.
func (s *sent) atLast() router.Outcome {
	if s.reached > 0 && !s.lost() {
		return router.Delivered
	}
	return router.Timeout
}

// maxUnused bounds the sents that are kept for the next messages, and maxRoom what each may
// keep for its data, in bytes.
const (
	maxUnused = 1 << 12
	maxRoom   = 1 << 10
)

// pending is the list of messages without outcome, the oldest first.
type pending struct {
	oldest, newest *sent
	count, bytes   int
	waiting        map[uint64]*sent // those that want a receipt, by their count
	unused         *sent            // linked by newer
	unusedCount    int
}

// add keeps a message, whose data it copies.
func (l *pending) add(m router.Message, done func(router.MessageID, router.Outcome), now time.Time) *sent {
	s := l.unused
	if s == nil {
		s = new(sent)
	} else {
		l.unused = s.newer
		l.unusedCount--
	}
	s.room = append(s.room[:0], m.Data...)
	m.Data, m.Ref, m.Receipt = s.room, nil, m.Receipt || m.Confirm
	*s = sent{Message: m, done: done, accepted: now, held: true, size: len(s.room), room: s.room, older: l.newest}
	if l.newest != nil {
		l.newest.newer = s
	} else {
		l.oldest = s
	}
	l.newest = s
	l.count++
	l.bytes += s.size
	if s.Receipt {
		l.waiting[s.ID.Count] = s
	}
	return s
}

// end takes a message off, which gets its outcome.
func (l *pending) end(s *sent) {
	if s.older != nil {
		s.older.newer = s.newer
	} else {
		l.oldest = s.newer
	}
	if s.newer != nil {
		s.newer.older = s.older
	} else {
		l.newest = s.older
	}
	if s.phase == queued { // the publisher skips it
		s.Data, s.room = nil, nil
	}
	s.older, s.newer, s.phase = nil, nil, ended
	l.count--
	l.bytes -= s.size
	if s.Receipt {
		delete(l.waiting, s.ID.Count)
	}
	if !s.held {
		l.reuse(s)
	}
}

// letGo is called when the publisher is done with s.
func (l *pending) letGo(s *sent) {
	s.held = false
	if s.phase == ended {
		l.reuse(s)
	}
}

// reuse takes back what nothing refers to any more.
func (l *pending) reuse(s *sent) {
	if l.unusedCount >= maxUnused || cap(s.room) > maxRoom {
		return
	}
	*s = sent{room: s.room, newer: l.unused}
	l.unused = s
	l.unusedCount++
}

// outcome is what a sender is to be told, when mu is released.
type outcome struct {
	done func(router.MessageID, router.Outcome)
	id   router.MessageID
	what router.Outcome
	took time.Duration
}

// endLocked ends a message with o, unless it has ended, and appends whom to tell.
func (r *Router) endLocked(told []outcome, s *sent, o router.Outcome, now time.Time) []outcome {
	if s.phase == ended {
		return told
	}
	told = append(told, outcome{s.done, s.ID, o, now.Sub(s.accepted)})
	r.mu.end(s)
	return told
}

// tell tells outcomes. No lock is held.
func (r *Router) tell(outcomes []outcome) {
	for i := range outcomes {
		x := &outcomes[i]
		r.counts.outcome(x.what, x.took)
		if x.done != nil {
			x.done(x.id, x.what)
		}
	}
}

// earliness is by how much a message may be answered before its deadline, so that it is not
// after it. A shorter deadline has less of it. Deadlines that are no further apart than half of
// it are looked at together.
const earliness = 20 * time.Millisecond

func (r *Router) earliness() time.Duration { return min(earliness, r.opts.MessageTimeout/4) }

// armLocked has the sweeper look at deadlines if it does not already.
func (r *Router) armLocked() {
	if !r.mu.sweeping {
		r.mu.sweeping = true
		signal(r.sweep)
	}
}

// runSweeper ends messages at their deadlines. It sleeps while there are none.
func (r *Router) runSweeper(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.sweep:
		case <-ctx.Done():
			return
		}
		if wait, any := r.expire(time.Now()); any {
			timer.Reset(wait)
		}
	}
}

// expire ends the messages whose deadlines have come, and says how long the next ones have.
func (r *Router) expire(now time.Time) (wait time.Duration, any bool) {
	var told []outcome
	life := r.opts.MessageTimeout - r.earliness()
	r.mu.Lock()
	for s := r.mu.oldest; s != nil && now.Sub(s.accepted) >= life; s = r.mu.oldest {
		told = r.endLocked(told, s, s.atLast(), now)
	}
	if s := r.mu.oldest; s != nil {
		wait, any = max(s.accepted.Add(life).Sub(now), r.earliness()/2), true
	}
	r.mu.sweeping = any
	r.counts.pending(&r.mu.pending)
	r.mu.Unlock()
	r.tell(told)
	return wait, any
}

// endAllLocked ends everything.
func (r *Router) endAllLocked() (told []outcome) {
	now := time.Now()
	for s := r.mu.oldest; s != nil; s = r.mu.oldest {
		told = r.endLocked(told, s, s.atLast(), now)
	}
	r.counts.pending(&r.mu.pending)
	return told
}
