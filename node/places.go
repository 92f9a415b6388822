package node

import (
	"errors"
	"slices"
	"time"
)

// place is an address beside its client's that a session has joined, or is about to. Its
// state is never notJoined; one that hasLeft waits for the answer to its join.
type place struct {
	address string
	state   membership
}

// Why a session can't join another address.
var (
	errNoMember      = errors.New("the session is not welcomed yet, or closes")
	errTooManyPlaces = errors.New("the session has joined as many addresses as it may")
	errHasPlace      = errors.New("the session has joined this address, or is about to")
)

// join makes the session a member of one more address. answered is called once, from any
// goroutine or before join returns, without a lock, and must not block.
func (s *session) join(address string, answered func(error)) {
	if err := s.addPlace(address); err != nil {
		answered(err)
		return
	}
	deadline := time.Now().Add(s.node.opts.MessageTimeout)
	s.node.router.JoinAsync(deadline, address, s, func(err error) {
		defer s.node.leaving.done()
		s.concludePlace(address, err)
		answered(err)
	})
}

func (s *session) addPlace(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.special
	switch {
	case s.membership != joined:
		return errNoMember
	case s.findPlaceLocked(address) >= 0 || address == s.client:
		return errHasPlace
	case len(x.places) >= s.protocol.traits().memberships:
		return errTooManyPlaces
	}
	x.places = append(x.places, place{address, joining})
	s.node.leaving.begin()
	return nil
}

// findPlaceLocked returns, with mu held, where the place is, or -1.
func (s *session) findPlaceLocked(address string) int {
	if s.special == nil {
		return -1
	}
	return slices.IndexFunc(s.special.places, func(p place) bool { return p.address == address })
}

func (s *session) concludePlace(address string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findPlaceLocked(address)
	p := &s.special.places[i]
	if err == nil && p.state == joining {
		p.state = joined
		return
	}
	s.removePlaceLocked(i)
	if err == nil {
		s.node.leaving.Go(func() { s.node.router.Leave(address, s) })
	}
}

func (s *session) removePlaceLocked(i int) {
	s.special.places = slices.Delete(s.special.places, i, i+1)
}

// part ends a membership, or the wait for it. The reading side calls it, as join: the router
// must not hold a lock. It has left the address when part returns, and may join it again;
// but where the join was still under way, only when that was answered.
func (s *session) part(address string) {
	s.mu.Lock()
	leave := func() {}
	if i := s.findPlaceLocked(address); i >= 0 {
		leave = s.leavePlaceLocked(i)
	}
	s.mu.Unlock()
	leave()
}

// leavePlaceLocked ends, with mu held, a membership or the wait for it. It returns what the
// router is to be told, without the lock.
func (s *session) leavePlaceLocked(i int) (leave func()) {
	p := &s.special.places[i]
	address := p.address
	switch p.state {
	case joined:
		s.removePlaceLocked(i)
		return func() { s.node.router.Leave(address, s) }
	case joining:
		p.state = hasLeft
		return func() { s.node.router.Withdraw(address, s) }
	}
	return func() {}
}

// leavePlacesLocked is leavePlaceLocked for all; the router is told elsewhere, for it may be
// calling this session just now.
func (s *session) leavePlacesLocked() {
	if s.special == nil {
		return
	}
	for i := range slices.Backward(s.special.places) {
		s.node.leaving.Go(s.leavePlaceLocked(i))
	}
}

// forgetPlace takes note that the router has evicted the session.
func (s *session) forgetPlace(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findPlaceLocked(address)
	switch {
	case i < 0:
	case s.special.places[i].state == joined:
		s.removePlaceLocked(i)
	default: // the answer to its join is still to come
		s.special.places[i].state = hasLeft
	}
}
