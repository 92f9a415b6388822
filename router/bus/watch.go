package bus

import (
	"slices"
	"time"
)

// Replies that no later PUBLISH has read are read by a timer.

const (
	// loneReply is when the reply to a lone PUBLISH is read, that no other follows: soon,
	// because it says whether the peer lives.
	loneReply = time.Millisecond
	// loneWrite is how long there was no write before a lone one.
	loneWrite = 20 * time.Millisecond
	// watchInterval is when replies are read that no later PUBLISH has read.
	watchInterval = 50 * time.Millisecond
)

// wroteLocked notes that c is about to be written. If it was not for a while, nobody may
// come by soon, and the timer has the replies read.
func (p *publisher) wroteLocked(c *publishConn) {
	now := time.Now()
	if c.unansweredLocked() == 0 {
		c.progress = now
	}
	if c.detached && now.Sub(c.wrote) > loneWrite {
		p.armLocked(now, loneReply)
	} else if p.mu.timerAt.IsZero() {
		p.armLocked(now, watchInterval)
	}
	c.wrote = now
}

// armLocked has replies looked at after d at the latest.
func (p *publisher) armLocked(now time.Time, d time.Duration) {
	at := now.Add(d)
	if p.mu.ended || !p.mu.timerAt.IsZero() && !at.Before(p.mu.timerAt) {
		return
	}
	p.mu.timerAt = at
	p.timer.Reset(d)
}

// tick is called by the timer, in a goroutine of its own.
func (p *publisher) tick() {
	p.mu.Lock()
	if p.mu.ended {
		p.mu.Unlock()
		return
	}
	p.mu.timerAt, p.mu.watch = time.Time{}, true
	p.tasks.Add(1)
	p.mu.Unlock()
	defer p.tasks.Done()
	p.Flush()
}

// watchLocked ends connections on which a reply is overdue, if the timer wants that looked at.
func (p *publisher) watchLocked() {
	if !p.mu.watch {
		return
	}
	p.mu.watch = false
	now := time.Now()
	for _, c := range slices.Backward(p.mu.conns) {
		switch {
		case c.unansweredLocked() == 0:
		case now.Sub(c.progress) > replyTimeout:
			p.dropLocked(c, errSilent)
		default:
			p.armLocked(now, watchInterval)
		}
	}
}
