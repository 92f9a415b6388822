package baseline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// sessions is the table of local addresses.
type sessions struct {
	mu struct {
		sync.RWMutex
		of      map[string]*localAddress
		count   int            // sessions
		changes []change       // of subscriptions, that wait to be sent
		awaited map[string]int // SUBSCRIBEs of an address, sent or waiting, that Redis has not confirmed
	}
}

// localAddress is an address that has sessions here, or will. Under Broadcast it is reached from
// the beginning; under Subscribe once Redis has confirmed its channel.
type localAddress struct {
	sessions []router.Session
	waiting  []*join // until it is reached; then nil
	reached  bool
}

// join is a session that waits until its address is reached.
type join struct {
	address string
	session router.Session
	joined  func(error)
	timer   *time.Timer // to its deadline
}

// change is a subscription that begins, or ends, under Subscribe.
type change struct {
	address string
	ends    bool
}

func newSessions() *sessions {
	t := new(sessions)
	t.mu.of, t.mu.awaited = make(map[string]*localAddress), make(map[string]int)
	return t
}

// Join is JoinAsync that waits. A session that joins after ctx has ended leaves again.
func (r *Router) Join(ctx context.Context, address string, s router.Session) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(r.opts.MessageTimeout)
	}
	result := make(chan error, 1)
	r.JoinAsync(deadline, address, s, func(err error) { result <- err })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	r.failJoin(address, s, context.Cause(ctx))
	if err := <-result; err != nil {
		return err
	}
	r.Leave(address, s)
	return fmt.Errorf("%w: %w", router.ErrUnavailable, context.Cause(ctx))
}

// Sessions returns this node's sessions that have joined address.
func (r *Router) Sessions(address string) []router.Session {
	t := r.sessions
	t.mu.RLock()
	defer t.mu.RUnlock()
	if l := t.mu.of[address]; l != nil {
		return slices.Clone(l.sessions)
	}
	return nil
}

// JoinAsync adds a session to address. joined is called with nil once messages for the address
// reach this node; only then may the client be welcomed, though messages may be delivered before.
// An error is router.ErrTooManySessions, or wraps router.ErrUnavailable. joined is called exactly
// once, from a goroutine of the router or before JoinAsync returns, and must not block. What has not
// succeeded at the deadline fails.
func (r *Router) JoinAsync(deadline time.Time, address string, s router.Session, joined func(error)) {
	done, err := r.join(deadline, &join{address: address, session: s, joined: joined})
	switch {
	case err != nil:
		joined(err)
	case done:
		joined(nil)
	default:
		r.subscription.signalChanges()
	}
}

// join adds a session, or has it wait.
func (r *Router) join(deadline time.Time, j *join) (done bool, err error) {
	if err := r.whyUnavailable(deadline); err != nil {
		return false, fmt.Errorf("%w: %w", router.ErrUnavailable, err)
	}
	t := r.sessions
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.mu.of[j.address]
	switch {
	case a == nil:
		a = &localAddress{reached: r.opts.Delivery == router.Broadcast}
		t.mu.of[j.address] = a
		if !a.reached {
			t.subscribeLocked(j.address)
		}
	case r.opts.MaxClientSessions > 0 && len(a.sessions)+len(a.waiting) >= r.opts.MaxClientSessions:
		return false, router.ErrTooManySessions
	}
	if a.reached {
		t.addLocked(a, j.session)
		return true, nil
	}
	j.timer = time.AfterFunc(time.Until(deadline), func() { r.failJoin(j.address, j.session, context.DeadlineExceeded) })
	a.waiting = append(a.waiting, j)
	return false, nil
}

// whyUnavailable says why a session can't join now.
func (r *Router) whyUnavailable(deadline time.Time) error {
	if found := r.refusals(); len(found) > 0 {
		return found[0].Err
	}
	if !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// errGone: nobody wants the session any more.
var errGone = errors.New("the client has gone")

// Withdraw says that the client of a session that joins has gone: it waits no longer. A join that
// has ended well already is not changed by it; the session has to leave.
func (r *Router) Withdraw(address string, s router.Session) { r.failJoin(address, s, errGone) }

// failJoin ends the join of a session, if it still waits.
func (r *Router) failJoin(address string, s router.Session, why error) {
	t := r.sessions
	t.mu.Lock()
	a := t.mu.of[address]
	i := -1
	if a != nil {
		i = slices.IndexFunc(a.waiting, func(j *join) bool { return j.session == s })
	}
	if i < 0 {
		t.mu.Unlock()
		return
	}
	j := a.waiting[i]
	a.waiting = slices.Delete(a.waiting, i, i+1)
	t.dropIfEmptyLocked(address, a, r.opts.Delivery)
	t.mu.Unlock()
	r.subscription.signalChanges()
	j.fail(why)
}

func (j *join) fail(why error) {
	j.timer.Stop()
	j.joined(fmt.Errorf("%w: %w", router.ErrUnavailable, why))
}

// failJoins ends all joins that still wait.
func (t *sessions) failJoins(why error) {
	t.mu.Lock()
	var all []*join
	for _, a := range t.mu.of {
		all = append(all, a.waiting...)
		a.waiting = nil
	}
	t.mu.Unlock()
	for _, j := range all {
		j.fail(why)
	}
}

// Leave removes a session that joined.
func (r *Router) Leave(address string, s router.Session) {
	t := r.sessions
	t.mu.Lock()
	a := t.mu.of[address]
	i := -1
	if a != nil {
		i = slices.Index(a.sessions, s)
	}
	if i < 0 {
		t.mu.Unlock()
		return
	}
	a.sessions = slices.Concat(a.sessions[:i], a.sessions[i+1:]) // who delivers may hold the old slice
	t.mu.count--
	t.dropIfEmptyLocked(address, a, r.opts.Delivery)
	t.mu.Unlock()
	r.subscription.signalChanges()
}

func (t *sessions) addLocked(a *localAddress, s router.Session) {
	a.sessions = append(slices.Clip(a.sessions), s)
	t.mu.count++
}

// dropIfEmptyLocked forgets an address that has no session any more.
func (t *sessions) dropIfEmptyLocked(address string, a *localAddress, d router.Delivery) {
	if len(a.sessions)+len(a.waiting) > 0 {
		return
	}
	delete(t.mu.of, address)
	if d == router.Subscribe {
		t.mu.changes = append(t.mu.changes, change{address: address, ends: true})
	}
}

// of returns the sessions of an address, which are not to be changed. Those that still wait to be
// welcomed are not among them.
func (t *sessions) of(address string) []router.Session {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.mu.of[address]; a != nil {
		return a.sessions
	}
	return nil
}

// size counts the sessions of all addresses.
func (t *sessions) size() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.mu.count
}

// confirmed takes Redis' word that an address is subscribed, and lets those join who waited for it.
func (t *sessions) confirmed(address string) {
	t.mu.Lock()
	waiting := t.confirmedLocked(address)
	t.mu.Unlock()
	for _, j := range waiting {
		j.timer.Stop()
		j.joined(nil)
	}
}

// confirmedLocked adds the sessions that waited for an address. If another SUBSCRIBE follows they go
// on waiting: between the two is an UNSUBSCRIBE.
func (t *sessions) confirmedLocked(address string) (waiting []*join) {
	n := t.mu.awaited[address]
	if n > 1 {
		t.mu.awaited[address] = n - 1
		return nil
	}
	delete(t.mu.awaited, address)
	a := t.mu.of[address]
	if n == 0 || a == nil || a.reached {
		return nil
	}
	a.reached = true
	waiting, a.waiting = a.waiting, nil
	for _, j := range waiting {
		t.addLocked(a, j.session)
	}
	return waiting
}

func (t *sessions) subscribeLocked(address string) {
	t.mu.changes = append(t.mu.changes, change{address: address})
	t.mu.awaited[address]++
}
