package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

// pendingJoin is a session that joins an address: one that claims the address because it is
// the first here, or one that waits for such a claim.
type pendingJoin struct {
	address  string
	session  Session
	deadline time.Time
	done     func(error)

	// The claim.
	local      *localAddress // whose lease is claimed
	generation uint64        // when it began

	// Guarded by localAddresses.mu.
	evicted        error          // the lease was lost meanwhile
	replacedTokens []string       // tokens that others have replaced meanwhile
	waiters        []*pendingJoin // other sessions of the address, which wait
	withdrawn      bool           // nobody wants it any more
	cancel         func()         // ends the announcement to the other owners; nil before
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

// Withdraw is called when the client of a session that joins has gone. The claim of the session
// then waits for nothing any more: until it ends, senders would wait for this node as for an
// owner. The join still calls its callback; if the error is nil, the session has to leave.
func (r *Router) Withdraw(address string, s Session) {
	t := r.local
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.byName[address]
	if a == nil || a.join == nil {
		return
	}
	if j := a.join; j.session == s {
		j.withdrawn = true
		r.reg.Withdraw(&a.lease)
		if j.cancel != nil {
			j.cancel()
		}
		return
	}
	for _, j := range a.join.waiters {
		j.withdrawn = j.withdrawn || j.session == s
	}
}

// JoinAsync adds a session to address. The first session of an address claims it,
// and every earlier owner knows of the claim before joined is called with nil;
// only then may the client be welcomed, though messages may be delivered before.
// An error is ErrDuplicate or ErrTooManySessions, or wraps ErrUnavailable. joined is called
// exactly once, from a goroutine of the router or before JoinAsync returns, and must not block.
// What is not under way at the deadline fails.
func (r *Router) JoinAsync(deadline time.Time, address string, s Session, joined func(error)) {
	r.beginJoin(&pendingJoin{address: address, session: s, deadline: deadline, done: joined})
}

// beginJoin adds a session to a held address, or claims the address for it, or has it wait
// for another one, after which it begins again.
func (r *Router) beginJoin(j *pendingJoin) {
	if err := r.joinHindrance(j); err != nil {
		j.done(unavailable(err))
		return
	}
	next, evict, err := r.local.addOrClaim(r, j)
	for _, old := range evict {
		old.Evict(j.address, ErrReplaced)
	}
	switch next {
	case joinWaits:
	case joinClaims:
		r.claim(j, func(others []registry.Owner, err error) { r.claimed(j, others, err) })
	case joinEnds:
		j.done(err)
	}
}

// unavailable makes err a reason why a session can't join now, but maybe later.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// joinHindrance returns why a join can't begin now, or nil.
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

// errWithdrawn: nobody wants the session any more.
var errWithdrawn = errors.New("the client has gone")

// claim makes this node an owner of the address in the registry. claimed gets the other
// owners, before claim returns or later.
func (r *Router) claim(j *pendingJoin, claimed func(others []registry.Owner, err error)) {
	r.reg.ClaimAsync(j.deadline, &j.local.lease, j.address, r.opts.DuplicatesOf(j.address), claimed)
}

// claimed goes on with the first answer to a claim. Mostly there is no other owner: then
// the session has joined, and no task was started for it.
func (r *Router) claimed(j *pendingJoin, others []registry.Owner, err error) {
	switch {
	case err == nil && len(others) == 0:
		r.endJoin(j, r.welcome(j, nil))
	case err != nil && !errors.Is(err, registry.ErrHeld):
		r.endJoin(j, unavailable(err))
	case !r.run(func(ctx context.Context) { r.endJoin(j, r.join(ctx, j, others, err)) }):
		if err == nil {
			r.reg.Release(&j.local.lease)
		}
		r.endJoin(j, unavailable(errStopped))
	}
}

// join does what is left to do when there are other owners. It runs in a task, and blocks.
func (r *Router) join(ctx context.Context, j *pendingJoin, others []registry.Owner, err error) error {
	// Claim. One that was refused is made again if none of the owners that it was refused
	// for holds the address.
	if errors.Is(err, registry.ErrHeld) {
		if held := r.verifyOwners(ctx, j, others); held != nil {
			return held
		}
		others, err = r.claimAgain(ctx, j)
	}
	switch {
	case errors.Is(err, registry.ErrHeld):
		return ErrDuplicate
	case err != nil:
		return unavailable(err)
	}
	// Announce. Each other owner has acknowledged, or is dead, before anybody is welcomed.
	if err = r.announceClaim(ctx, j, others); err != nil {
		r.reg.Release(&j.local.lease)
		return unavailable(err)
	}
	// Welcome.
	return r.welcome(j, others)
}

// verifyTimeout bounds the question to the owners that a claim was refused for.
const verifyTimeout = time.Second

// verifyOwners asks the owners that a claim was refused for. It returns nil if none of them
// holds the address, as where Redis was started from a snapshot. Then their entries are gone.
func (r *Router) verifyOwners(ctx context.Context, j *pendingJoin, owners []registry.Owner) error {
	ctx, cancel := r.runtime.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	if absent, _ := r.announce(ctx, j.address, owners); len(absent) < len(owners) {
		return ErrDuplicate
	}
	if err := r.reg.Prune(ctx, j.address, owners...); err != nil { // before the claim, so not by prune
		return unavailable(err)
	}
	return nil
}

// claimAgain claims, and waits for the answer. When the router stops, the claim waits for
// nothing any more.
func (r *Router) claimAgain(ctx context.Context, j *pendingJoin) (others []registry.Owner, err error) {
	answered := r.runtime.NewSignal()
	r.claim(j, func(found []registry.Owner, failed error) {
		others, err = found, failed
		answered.Set()
	})
	if answered.Wait(ctx) != nil {
		r.reg.Withdraw(&j.local.lease)
		_ = answered.Wait(context.Background()) // which does not end
	}
	return others, err
}

// announceClaim tells the address's other owners, and waits until each knows of the claim.
func (r *Router) announceClaim(ctx context.Context, j *pendingJoin, others []registry.Owner) error {
	if len(others) == 0 {
		return nil
	}
	ctx, cancel := r.runtime.WithTimeout(ctx, j.deadline.Sub(r.now()))
	defer cancel()
	r.local.mu.Lock()
	if j.cancel = cancel; j.withdrawn {
		cancel()
	}
	r.local.mu.Unlock()
	_, err := r.announce(ctx, j.address, r.withoutDead(ctx, j.address, others))
	return err
}

// welcome welcomes the session. If this node's own lease has ended, others may take it for
// dead, and nobody is welcomed.
func (r *Router) welcome(j *pendingJoin, others []registry.Owner) error {
	if !r.leaseLives() {
		r.reg.Release(&j.local.lease)
		return unavailable(errLeaseExpired)
	}
	return r.local.welcome(r, j, others)
}

// endJoin gives the caller the result of a join, and begins the joins that waited for it.
func (r *Router) endJoin(j *pendingJoin, err error) {
	if err == nil {
		r.outdateOwners(j.address)
	} else {
		r.local.drop(j)
	}
	j.done(err)
	for _, next := range j.waiters { // nobody adds any more
		r.beginJoin(next)
	}
}
