package router

import (
	"fmt"
	"slices"

	"github.com/beeline-ws/beeline/registry"
)

// What a join does to the table of local addresses: it begins there, and ends well or not.

// joinStep is what comes next for a session that joins.
type joinStep uint8

const (
	joinEnds   joinStep = iota // it was added, or refused with an error
	joinClaims                 // its address is to be claimed
	joinWaits                  // it waits until another session's claim of the address has ended
)

// addOrClaim adds a session to a held address; or begins a local address, which is then to
// be claimed; or has the session wait. The sessions that it replaces are to be evicted.
func (t *localAddresses) addOrClaim(r *Router, j *pendingJoin) (next joinStep, evict []Session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a, rule := t.byName[j.address], r.opts.DuplicatesOf(j.address)
	switch {
	case a == nil:
		t.beginLocked(j)
		return joinClaims, nil, nil
	case a.join != nil && r.tooMany(1+len(a.join.waiters)):
		return joinEnds, nil, ErrTooManySessions
	case a.join != nil:
		a.join.waiters = append(a.join.waiters, j)
		return joinWaits, nil, nil
	case rule == registry.Reject:
		return joinEnds, nil, ErrDuplicate
	case rule == registry.Replace && a.validAt != t.generation.current():
		// Another node may have replaced the claim without this one knowing it yet: what it
		// announces must not end the newest session, which makes a claim of its own.
		r.reg.Release(&a.lease)
		t.beginLocked(j)
		return joinClaims, a.sessions, nil
	case rule == registry.Replace:
		evict, a.sessions = a.sessions, nil
	case r.tooMany(len(a.sessions)):
		return joinEnds, nil, ErrTooManySessions
	}
	a.sessions = append(a.sessions, j.session)
	return joinEnds, evict, nil
}

// beginLocked begins a local address, which is to be claimed for j.
func (t *localAddresses) beginLocked(j *pendingJoin) {
	j.generation = t.generation.current()
	j.local = &localAddress{join: j}
	t.byName[j.address] = j.local
}

// tooMany reports whether an address that has so many sessions here gets no other one.
func (r *Router) tooMany(sessions int) bool {
	return r.opts.MaxClientSessions > 0 && sessions >= r.opts.MaxClientSessions
}

// welcome makes the session the first one of its address, unless another session has taken
// the lease meanwhile.
func (t *localAddresses) welcome(r *Router, j *pendingJoin, others []registry.Owner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := j.local
	if slices.Contains(j.replacedTokens, a.lease.Token()) {
		j.evicted = ErrReplaced
	}
	if j.evicted != nil {
		r.reg.Release(&a.lease)
		return fmt.Errorf("%w: %w", ErrDuplicate, j.evicted)
	}
	a.join = nil
	a.sessions, a.since = []Session{j.session}, r.now().UnixMicro()
	if a.announcements == 0 {
		a.owners, a.validAt = t.self, j.generation
		if r.opts.DuplicatesOf(j.address) != registry.Replace { // which has ended the others
			a.owners = t.self.with(others)
		}
	}
	return nil
}

// drop removes the local address of a join that has failed.
func (t *localAddresses) drop(j *pendingJoin) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j.local.join = nil
	if t.byName[j.address] == j.local {
		delete(t.byName, j.address)
	}
}
