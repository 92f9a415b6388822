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

// holding is an address that this node owns, or is about to own: its lease and
// its sessions here.
type holding struct {
	lease   registry.Lease
	ready   chan struct{} // closed when the claim has ended, well or not
	joining bool          // the claim is under way
	evicted error         // the lease was lost while the claim was under way
	stolen  []string      // tokens that others have replaced meanwhile

	sessions []Session
	alone    uint64 // the calm in which no other node owned it; 0: others may
	notices  uint64 // claims by other nodes heard of
}

// holdings is the table of the addresses that this node holds.
type holdings struct {
	mu   sync.RWMutex
	of   map[string]*holding
	calm uint64 // grows when what is known about other owners no longer counts
}

func newHoldings() *holdings { return &holdings{of: make(map[string]*holding), calm: 1} }

// Join adds a session to address. The first session of an address claims it,
// and every earlier owner knows of the claim before Join returns nil; only then
// may the client be welcomed, though messages may be delivered before. An error
// is ErrDuplicate, or wraps ErrUnavailable.
func (r *Router) Join(ctx context.Context, address string, s Session) error {
	if !r.hearing.Load() {
		return fmt.Errorf("%w: %w", ErrUnavailable, errDeaf)
	}
	if !r.leaseLives() {
		return fmt.Errorf("%w: %w", ErrUnavailable, errAway)
	}
	for {
		h, first, evict, err := r.holdings.join(address, s, r.opts.Duplicates)
		for _, old := range evict {
			old.Evict(ErrReplaced)
		}
		if err != nil || h == nil {
			return err
		}
		if first {
			return r.claim(ctx, h, address, s)
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
}

// JoinAsync is Join that does not wait. joined is called exactly once, from a
// goroutine of the router or before JoinAsync returns, and must not block.
func (r *Router) JoinAsync(deadline time.Time, address string, s Session, joined func(error)) {
	r.run(func(ctx context.Context) {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		joined(r.Join(ctx, address, s))
	})
}

// join adds s to a held address (h is nil then), begins a holding (first), or
// names the holding whose claim has to be waited for.
func (t *holdings) join(address string, s Session, rule registry.Duplicates) (h *holding, first bool, evict []Session, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h = t.of[address]
	switch {
	case h == nil:
		h = &holding{ready: make(chan struct{}), joining: true}
		t.of[address] = h
		return h, true, nil, nil
	case h.joining:
		return h, false, nil, nil
	case rule == registry.Reject:
		return nil, false, nil, ErrDuplicate
	case rule == registry.Replace:
		evict, h.sessions = h.sessions, nil
	}
	h.sessions = append(h.sessions, s)
	return nil, false, evict, nil
}

// claim makes this node an owner of address for its first session here.
func (r *Router) claim(ctx context.Context, h *holding, address string, s Session) error {
	defer close(h.ready)
	others, err := r.claimAndTell(ctx, h, address)
	if err != nil {
		r.holdings.drop(address, h)
		return err
	}
	return r.holdings.welcome(r, address, h, s, len(others) == 0)
}

func (r *Router) claimAndTell(ctx context.Context, h *holding, address string) ([]registry.Owner, error) {
	calm := r.holdings.calmNow()
	others, err := r.reg.Claim(ctx, &h.lease, address)
	if errors.Is(err, registry.ErrHeld) {
		return nil, ErrDuplicate
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err = r.way.open(ctx, address); err == nil {
		err = r.tell(ctx, address, others)
	}
	if err == nil && calm != r.holdings.calmNow() {
		others = []registry.Owner{{}} // disturbed meanwhile: others may own it
	}
	if err != nil {
		r.way.close(address)
		r.reg.Release(&h.lease)
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return others, nil
}

// welcome ends the claim well, unless the lease was taken meanwhile.
func (t *holdings) welcome(r *Router, address string, h *holding, s Session, alone bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.joining = false
	if slices.Contains(h.stolen, h.lease.Token()) {
		h.evicted = ErrReplaced
	}
	if h.evicted != nil {
		delete(t.of, address)
		r.way.close(address)
		r.reg.Release(&h.lease)
		return fmt.Errorf("%w: %w", ErrDuplicate, h.evicted)
	}
	h.sessions = append(h.sessions, s)
	if alone && h.notices == 0 {
		h.alone = t.calm
	}
	return nil
}

func (t *holdings) drop(address string, h *holding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.joining = false
	if t.of[address] == h {
		delete(t.of, address)
	}
}

// Leave removes a session that joined; the last one releases the address. A
// session that was evicted has left already.
func (r *Router) Leave(address string, s Session) {
	t := r.holdings
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h == nil || h.joining {
		return
	}
	i := slices.Index(h.sessions, s)
	if i < 0 {
		return
	}
	h.sessions = slices.Concat(h.sessions[:i], h.sessions[i+1:]) // deliver may hold the old slice
	if len(h.sessions) == 0 {
		delete(t.of, address)
		r.way.close(address)
		r.reg.Release(&h.lease)
	}
}

// deliver puts m into the queues of its receiver's sessions here.
func (t *holdings) deliver(m *Message) fate {
	t.mu.RLock()
	h := t.of[m.To]
	if h == nil {
		t.mu.RUnlock()
		return fateNotHere
	}
	sessions := h.sessions
	t.mu.RUnlock()
	return deliverTo(sessions, m)
}

// deliverTo asks every session. Where all are closing, or none has joined yet,
// the address is about to change: the sender shall look again.
func deliverTo(sessions []Session, m *Message) fate {
	f := fateJoining
	for _, s := range sessions {
		switch s.Deliver(m) {
		case Delivered:
			f = fateDelivered
		case Overloaded:
			if f != fateDelivered {
				f = fateOverloaded
			}
		}
	}
	return f
}

// deliverAlone delivers m if no other node owns its receiver.
func (t *holdings) deliverAlone(m *Message) (f fate, ok bool) {
	t.mu.RLock()
	h := t.of[m.To]
	if h == nil || h.joining || h.alone != t.calm {
		t.mu.RUnlock()
		return 0, false
	}
	sessions := h.sessions
	t.mu.RUnlock()
	f = deliverTo(sessions, m)
	return f, f != fateJoining
}

// onlyHere notes that a lookup found no other owner than this node, unless another
// claim was heard of since.
func (t *holdings) onlyHere(address, token string, notices uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.of[address]; h != nil && !h.joining && h.notices == notices && h.lease.Token() == token {
		h.alone = t.calm
	}
}

func (t *holdings) noticesOf(address string) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if h := t.of[address]; h != nil {
		return h.notices
	}
	return 0
}

// claimed notes that another node owns address too.
func (t *holdings) claimed(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.of[address]; h != nil {
		h.notices++
		h.alone = 0
	}
}

// taken ends a holding whose lease another session has.
func (r *Router) taken(address string, same func(*holding) bool, reason error) {
	t := r.holdings
	t.mu.Lock()
	h := t.of[address]
	if h == nil || h.joining || !same(h) {
		t.mu.Unlock()
		return
	}
	delete(t.of, address)
	r.way.close(address)
	r.reg.Release(&h.lease)
	sessions := h.sessions
	h.sessions = nil
	t.mu.Unlock()
	for _, s := range sessions {
		s.Evict(reason)
	}
}

// replaced takes the notice that another node has replaced the claim of that
// token. A claim still under way finds it in stolen when it ends.
func (r *Router) replaced(address, token string) {
	t := r.holdings
	t.mu.Lock()
	if h := t.of[address]; h != nil && h.joining {
		h.stolen = append(h.stolen, token)
	}
	t.mu.Unlock()
	r.taken(address, func(h *holding) bool { return h.lease.Token() == token }, ErrReplaced)
}

func (t *holdings) disturbed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calm++
}

func (t *holdings) calmNow() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.calm
}

// sessions counts the sessions of all addresses.
func (t *holdings) sessions() (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, h := range t.of {
		n += len(h.sessions)
	}
	return n
}

// deliverHere delivers m to this node's sessions and measures how long it took.
func (r *Router) deliverHere(m *Message, accepted time.Time) fate {
	f := r.holdings.deliver(m)
	if f == fateDelivered {
		r.delivery[pathRemote].Observe(r.now().Sub(accepted).Seconds())
	}
	return f
}
