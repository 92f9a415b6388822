package node

import (
	"sync"
	"time"
)

// openings are the sessions whose client is to speak first and has not, each with the end
// of its handshake's time. They hold slots, of which there are not many.
type openings struct {
	mu     sync.Mutex
	silent map[*session]time.Time
}

func newOpenings() openings { return openings{silent: map[*session]time.Time{}} }

// add is called, as remove is, with the session's lock held.
func (o *openings) add(s *session, deadline time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.silent[s] = deadline
}

// remove takes s out, if it is there: its client has spoken, or it closes.
func (o *openings) remove(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.silent, s)
}

// hurry closes those that should be welcomed before end. That frees their slots.
func (o *openings) hurry(end time.Time) {
	for _, s := range o.before(end) {
		s.closeSilent()
	}
}

func (o *openings) before(end time.Time) (all []*session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for s, deadline := range o.silent {
		if deadline.Before(end) {
			all = append(all, s)
		}
	}
	return all
}

// closeSilent closes the session, unless its client has spoken meanwhile.
func (s *session) closeSilent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.special.opening; o != nil && !o.asking {
		s.shutLocked(closedOpening, nil)
	}
}
