package router

import "time"

// earliness is by how much a message may be answered before its deadline, so that
// it is not after it. A shorter deadline has less of it.
const earliness = 20 * time.Millisecond

// setDeadline has x due at a time.
func (s *shard) setDeadline(x *deadline, at time.Time) {
	s.deadlines.set(x, at)
	s.wakeBy(at)
}

// setDeadlineBy has x due at a time at the latest.
func (s *shard) setDeadlineBy(x *deadline, at time.Time) {
	s.deadlines.setBy(x, at)
	s.wakeBy(x.at)
}

// wakeBy has sweep called at a time at the latest.
func (s *shard) wakeBy(at time.Time) {
	if s.wakeAt.IsZero() || at.Before(s.wakeAt) {
		s.wakeAt = at
		s.r.timers.setBy(&s.wake, at)
	}
}

// sweep does what is due: it answers messages whose deadline has come, and has routes look
// up again.
func (s *shard) sweep(now time.Time) {
	s.lock()
	defer s.unlockAndNotify()
	s.wakeAt = time.Time{}
	for x := s.deadlines.takeDue(now); x != nil; x = s.deadlines.takeDue(now) {
		x.due(now)
	}
	if x := s.deadlines.first(); x != nil {
		s.wakeBy(x.at)
	}
}

// expireDue answers the messages whose deadline has come.
func (s *shard) expireDue(now time.Time) {
	for p := s.pending.oldest; p != nil; p = s.pending.oldest {
		if now.Before(p.deadline) {
			s.setDeadline(&s.expiry, p.deadline)
			return
		}
		s.expire(p)
	}
}

// expire answers a message whose deadline has come. What is on its way stays on
// its links, as void numbers; what waits on its route is forgotten there.
func (s *shard) expire(p *pending) {
	was := p.state
	p.conclude(s, p.atLast())
	if p.route != nil {
		p.route.on(s, routeEvent{kind: messageExpired, p: p, was: was})
	}
}

// concludeAll answers all messages, as at their deadlines: the router stops.
func (s *shard) concludeAll() {
	s.lock()
	defer s.unlockAndNotify()
	for p := s.pending.oldest; p != nil; p = s.pending.oldest {
		p.conclude(s, p.atLast())
	}
}
