package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

// pendingJoin is a claim under way for the first session of an address.
type pendingJoin struct {
	session    Session
	deadline   time.Time
	done       func(error)
	generation uint64 // when it began
	verified   bool   // it was refused, and the owners were asked whether they are

	// Guarded by localAddresses.mu.
	evicted        error          // the lease was lost meanwhile
	replacedTokens []string       // tokens that others have replaced meanwhile
	waiters        []*pendingJoin // other sessions of the address, which wait
	withdrawn      bool           // nobody wants it any more
	cancel         func()         // of telling the other owners; nil before
}

// Join is JoinAsync that waits. A session that joins after ctx has ended leaves
// again.
func (r *Router) Join(ctx context.Context, address string, s Session) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = r.now().Add(r.opts.MessageTimeout)
	}
	result := joinResult{known: r.runtime.NewSignal()}
	r.JoinAsync(deadline, address, s, func(err error) {
		if !result.is(err) && err == nil {
			r.Leave(address, s)
		}
	})
	if ended := result.known.Wait(ctx); ended != nil && result.is(fmt.Errorf("%w: %w", ErrUnavailable, ended)) {
		r.Withdraw(address, s)
	}
	return result.get()
}

// joinResult is what becomes of a join that somebody waits for.
type joinResult struct {
	known task.Signal

	mu   sync.Mutex
	done bool
	err  error
}

// is sets the result, unless there is one, and reports whether there was none.
func (x *joinResult) is(err error) (first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done {
		return false
	}
	x.done, x.err = true, err
	x.known.Set()
	return true
}

func (x *joinResult) get() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Withdraw tells that the client of a session that joins has gone: its claim waits for
// nothing any more, since a sender would wait for this node as for an owner. The join ends
// all the same; if it ends well, the session has to leave.
func (r *Router) Withdraw(address string, s Session) {
	t := r.local
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.byName[address]
	if h == nil || h.join == nil {
		return
	}
	if j := h.join; j.session == s {
		j.withdrawn = true
		r.reg.Withdraw(&h.lease)
		if j.cancel != nil {
			j.cancel()
		}
		return
	}
	for _, j := range h.join.waiters {
		j.withdrawn = j.withdrawn || j.session == s
	}
}

// JoinAsync adds a session to address. The first session of an address claims it,
// and every earlier owner knows of the claim before joined is called with nil;
// only then may the client be welcomed, though messages may be delivered before.
// An error is ErrDuplicate or ErrTooManySessions, or wraps ErrUnavailable. joined is called exactly once,
// from a goroutine of the router or before JoinAsync returns, and must not block.
// What is not under way at the deadline fails.
func (r *Router) JoinAsync(deadline time.Time, address string, s Session, joined func(error)) {
	r.beginJoin(address, &pendingJoin{session: s, deadline: deadline, done: joined})
}

// begin adds a session to a held address, or claims the address for it, or has it wait
// for another one, after which it begins again.
func (r *Router) beginJoin(address string, j *pendingJoin) {
	if err := r.joinHindrance(j); err != nil {
		j.done(fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	h, evict, err := r.local.addOrClaim(r, address, j)
	for _, old := range evict {
		old.Evict(address, ErrReplaced)
	}
	switch {
	case h != nil:
		r.claim(h, address, j)
	case !errors.Is(err, errWaits):
		j.done(err)
	}
}

// hinders says why a join can't begin now.
func (r *Router) joinHindrance(j *pendingJoin) error {
	if found := r.refusals(); len(found) > 0 {
		return found[0].Err
	}
	switch {
	case !r.now().Before(j.deadline):
		return context.DeadlineExceeded
	case j.withdrawn:
		return errWithdrawn
	}
	return nil
}

// errGone: nobody wants the session any more.
var errWithdrawn = errors.New("the client has gone")

// errBehind: the session waits until the claim under way has ended.
var errWaits = errors.New("another session is joining")

// addOrClaim adds a session to a held address, or begins a local address, whose claim is then
// to be made, or has it wait (errBehind).
func (t *localAddresses) addOrClaim(r *Router, address string, j *pendingJoin) (claim *localAddress, evict []Session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, rule := t.byName[address], r.opts.DuplicatesOf(address)
	switch {
	case h == nil:
		j.generation = t.generation.current()
		h = &localAddress{join: j}
		t.byName[address] = h
		return h, nil, nil
	case h.join != nil && r.tooMany(1+len(h.join.waiters)):
		return nil, nil, ErrTooManySessions
	case h.join != nil:
		h.join.waiters = append(h.join.waiters, j)
		return nil, nil, errWaits
	case rule == registry.Reject:
		return nil, nil, ErrDuplicate
	case rule == registry.Replace:
		evict, h.sessions = h.sessions, nil
	case r.tooMany(len(h.sessions)):
		return nil, nil, ErrTooManySessions
	}
	h.sessions = append(h.sessions, j.session)
	return nil, evict, nil
}

// tooMany reports whether an address that has so many sessions here gets no other one.
func (r *Router) tooMany(sessions int) bool {
	return r.opts.MaxClientSessions > 0 && sessions >= r.opts.MaxClientSessions
}

// claim makes this node an owner of address for its first session here.
func (r *Router) claim(h *localAddress, address string, j *pendingJoin) {
	r.reg.ClaimAsync(j.deadline, &h.lease, address, r.opts.DuplicatesOf(address), func(others []registry.Owner, err error) {
		switch {
		case errors.Is(err, registry.ErrHeld) && !j.verified && r.run(func(ctx context.Context) { r.verifyOwners(ctx, h, address, j, others) }):
		case errors.Is(err, registry.ErrHeld):
			r.endJoin(h, address, j, nil, ErrDuplicate)
		case err != nil:
			r.endJoin(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
		case len(others) == 0:
			r.endJoin(h, address, j, nil, nil)
		case !r.run(func(ctx context.Context) { r.finishClaim(ctx, h, address, j, others) }):
			r.undoClaim(h, address, j, errStopped)
		}
	})
}

// doubtTimeout bounds the question to the owners that a claim was refused for.
const verifyTimeout = time.Second

// verifyOwners asks the owners that a claim was refused for. If none of them holds the address,
// as where Redis was started from a snapshot, the claim is made again without them.
func (r *Router) verifyOwners(ctx context.Context, h *localAddress, address string, j *pendingJoin, owners []registry.Owner) {
	j.verified = true
	ctx, cancel := r.runtime.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	if absent, _ := r.tell(ctx, address, owners); len(absent) < len(owners) {
		r.endJoin(h, address, j, nil, ErrDuplicate)
		return
	}
	if err := r.reg.Prune(ctx, address, owners...); err != nil { // before the claim, so not by prune
		r.endJoin(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	r.claim(h, address, j)
}

// finishClaim tells the address's other owners, which takes time.
func (r *Router) finishClaim(ctx context.Context, h *localAddress, address string, j *pendingJoin, others []registry.Owner) {
	ctx, cancel := r.runtime.WithTimeout(ctx, j.deadline.Sub(r.now()))
	defer cancel()
	r.local.mu.Lock()
	if j.cancel = cancel; j.withdrawn {
		cancel()
	}
	r.local.mu.Unlock()
	if _, err := r.tell(ctx, address, r.withoutDead(ctx, address, others)); err != nil {
		r.undoClaim(h, address, j, err)
		return
	}
	r.endJoin(h, address, j, others, nil)
}

func (r *Router) undoClaim(h *localAddress, address string, j *pendingJoin, err error) {
	r.reg.Release(&h.lease)
	r.endJoin(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
}

// joined ends a claim and lets those go on that waited for it. If this node's lease has
// ended meanwhile, others may take it for dead, and nobody is welcomed.
func (r *Router) endJoin(h *localAddress, address string, j *pendingJoin, others []registry.Owner, err error) {
	if err == nil && !r.leaseLives() {
		r.undoClaim(h, address, j, errLeaseExpired)
		return
	}
	if err == nil {
		err = r.local.welcome(r, address, h, j, others)
	} else {
		r.local.drop(address, h)
	}
	if err == nil {
		r.outdateOwners(address)
	}
	j.done(err)
	for _, next := range j.waiters { // nobody adds any more
		r.beginJoin(address, next)
	}
}

// welcome ends a claim well, unless the lease was taken meanwhile.
func (t *localAddresses) welcome(r *Router, address string, h *localAddress, j *pendingJoin, others []registry.Owner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.join = nil
	if slices.Contains(j.replacedTokens, h.lease.Token()) {
		j.evicted = ErrReplaced
	}
	if j.evicted != nil {
		delete(t.byName, address)
		r.reg.Release(&h.lease)
		return fmt.Errorf("%w: %w", ErrDuplicate, j.evicted)
	}
	h.sessions, h.since = []Session{j.session}, r.now().UnixMicro()
	if h.announcements == 0 {
		h.owners, h.validAt = t.self, j.generation
		if r.opts.DuplicatesOf(address) != registry.Replace { // which has ended the others
			h.owners = t.self.with(others)
		}
	}
	return nil
}

func (t *localAddresses) drop(address string, h *localAddress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.join = nil
	if t.byName[address] == h {
		delete(t.byName, address)
	}
}
