package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// joining is a claim under way for the first session of an address.
type joining struct {
	session  Session
	deadline time.Time
	joined   func(error)
	calm     uint64 // when it began
	doubted  bool   // it was refused, and the owners were asked whether they are

	// Guarded by holdings.mu.
	evicted error      // the lease was lost meanwhile
	stolen  []string   // tokens that others have replaced meanwhile
	behind  []*joining // other sessions of the address, which wait
	gone    bool       // nobody wants it any more
	end     func()     // of telling the other owners; nil before
}

// Join is JoinAsync that waits. A session that joins after ctx has ended leaves
// again.
func (r *Router) Join(ctx context.Context, address string, s Session) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = r.now().Add(r.opts.MessageTimeout)
	}
	result := make(chan error, 1)
	var once sync.Once
	answer := func(err error) (first bool) {
		once.Do(func() {
			result <- err
			first = true
		})
		return first
	}
	r.JoinAsync(deadline, address, s, func(err error) {
		if !answer(err) && err == nil {
			r.Leave(address, s)
		}
	})
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	answer(fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx)))
	r.Withdraw(address, s)
	return <-result
}

// Withdraw tells that the client of a session that joins has gone: its claim waits for
// nothing any more, since a sender would wait for this node as for an owner. The join ends
// all the same; if it ends well, the session has to leave.
func (r *Router) Withdraw(address string, s Session) {
	t := r.holdings
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h == nil || h.joining == nil {
		return
	}
	if j := h.joining; j.session == s {
		j.gone = true
		r.reg.Withdraw(&h.lease)
		if j.end != nil {
			j.end()
		}
		return
	}
	for _, j := range h.joining.behind {
		j.gone = j.gone || j.session == s
	}
}

// JoinAsync adds a session to address. The first session of an address claims it,
// and every earlier owner knows of the claim before joined is called with nil;
// only then may the client be welcomed, though messages may be delivered before.
// An error is ErrDuplicate or ErrTooManySessions, or wraps ErrUnavailable. joined is called exactly once,
// from a goroutine of the router or before JoinAsync returns, and must not block.
// What is not under way at the deadline fails.
func (r *Router) JoinAsync(deadline time.Time, address string, s Session, joined func(error)) {
	r.begin(address, &joining{session: s, deadline: deadline, joined: joined})
}

// begin adds a session to a held address, or claims the address for it, or has it wait
// behind another one, after which it begins again.
func (r *Router) begin(address string, j *joining) {
	if err := r.hinders(j); err != nil {
		j.joined(fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	h, evict, err := r.holdings.join(r, address, j)
	for _, old := range evict {
		old.Evict(ErrReplaced)
	}
	switch {
	case h != nil:
		r.claim(h, address, j)
	case !errors.Is(err, errBehind):
		j.joined(err)
	}
}

// hinders says why a join can't begin now.
func (r *Router) hinders(j *joining) error {
	if found := r.refusals(); len(found) > 0 {
		return found[0].Err
	}
	switch {
	case !r.now().Before(j.deadline):
		return context.DeadlineExceeded
	case j.gone:
		return errGone
	}
	return nil
}

// errGone: nobody wants the session any more.
var errGone = errors.New("the client has gone")

// errBehind: the session waits until the claim under way has ended.
var errBehind = errors.New("another session is joining")

// join adds a session to a held address, or begins a holding, whose claim is then
// to be made, or has it wait (errBehind).
func (t *holdings) join(r *Router, address string, j *joining) (claim *holding, evict []Session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	switch {
	case h == nil:
		j.calm = t.calm
		h = &holding{joining: j}
		t.of[address] = h
		return h, nil, nil
	case h.joining != nil && r.tooMany(1+len(h.joining.behind)):
		return nil, nil, ErrTooManySessions
	case h.joining != nil:
		h.joining.behind = append(h.joining.behind, j)
		return nil, nil, errBehind
	case r.opts.Duplicates == registry.Reject:
		return nil, nil, ErrDuplicate
	case r.opts.Duplicates == registry.Replace:
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
func (r *Router) claim(h *holding, address string, j *joining) {
	r.reg.ClaimAsync(j.deadline, &h.lease, address, func(others []registry.Owner, err error) {
		switch {
		case errors.Is(err, registry.ErrHeld) && !j.doubted && r.run(func(ctx context.Context) { r.doubt(ctx, h, address, j, others) }):
		case errors.Is(err, registry.ErrHeld):
			r.joined(h, address, j, nil, ErrDuplicate)
		case err != nil:
			r.joined(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
		case len(others) == 0 && r.opts.Delivery == Targeted:
			r.joined(h, address, j, nil, nil)
		case !r.run(func(ctx context.Context) { r.finishClaim(ctx, h, address, j, others) }):
			r.undoClaim(h, address, j, errStopped)
		}
	})
}

// doubtTimeout bounds the question to the owners that a claim was refused for.
const doubtTimeout = time.Second

// doubt asks the owners that a claim was refused for. If none of them holds the address,
// as where Redis was started from a snapshot, the claim is made again without them.
func (r *Router) doubt(ctx context.Context, h *holding, address string, j *joining, owners []registry.Owner) {
	j.doubted = true
	ctx, cancel := context.WithTimeout(ctx, doubtTimeout)
	defer cancel()
	if absent, _ := r.tell(ctx, address, owners); len(absent) < len(owners) {
		r.joined(h, address, j, nil, ErrDuplicate)
		return
	}
	if err := r.reg.Prune(ctx, address, owners...); err != nil { // before the claim, so not by prune
		r.joined(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
		return
	}
	r.claim(h, address, j)
}

// finishClaim does what takes time after a claim: opening the way to the address
// and telling its other owners.
func (r *Router) finishClaim(ctx context.Context, h *holding, address string, j *joining, others []registry.Owner) {
	ctx, cancel := context.WithDeadline(ctx, j.deadline)
	defer cancel()
	r.holdings.mu.Lock()
	if j.end = cancel; j.gone {
		cancel()
	}
	r.holdings.mu.Unlock()
	err := r.way.open(ctx, address)
	if err == nil {
		_, err = r.tell(ctx, address, r.withoutDead(ctx, address, others))
	}
	if err != nil {
		r.undoClaim(h, address, j, err)
		return
	}
	r.joined(h, address, j, others, nil)
}

func (r *Router) undoClaim(h *holding, address string, j *joining, err error) {
	r.way.close(address)
	r.reg.Release(&h.lease)
	r.joined(h, address, j, nil, fmt.Errorf("%w: %w", ErrUnavailable, err))
}

// joined ends a claim and lets those go on that waited for it. If this node's lease has
// ended meanwhile, others may take it for dead, and nobody is welcomed.
func (r *Router) joined(h *holding, address string, j *joining, others []registry.Owner, err error) {
	if err == nil && !r.leaseLives() {
		r.undoClaim(h, address, j, errAway)
		return
	}
	if err == nil {
		err = r.holdings.welcome(r, address, h, j, others)
	} else {
		r.holdings.drop(address, h)
	}
	if err == nil {
		r.outdate(address)
	}
	j.joined(err)
	for _, next := range j.behind { // nobody adds any more
		r.begin(address, next)
	}
}

// welcome ends a claim well, unless the lease was taken meanwhile.
func (t *holdings) welcome(r *Router, address string, h *holding, j *joining, others []registry.Owner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.joining = nil
	if slices.Contains(j.stolen, h.lease.Token()) {
		j.evicted = ErrReplaced
	}
	if j.evicted != nil {
		delete(t.of, address)
		r.way.close(address)
		r.reg.Release(&h.lease)
		return fmt.Errorf("%w: %w", ErrDuplicate, j.evicted)
	}
	h.sessions, h.since = []Session{j.session}, time.Now().UnixMicro()
	if h.notices == 0 {
		h.owners, h.certain = t.self, j.calm
		if r.opts.Duplicates != registry.Replace { // which has ended the others
			h.owners = t.self.with(others)
		}
	}
	return nil
}

func (t *holdings) drop(address string, h *holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.joining = nil
	if t.of[address] == h {
		delete(t.of, address)
	}
}
