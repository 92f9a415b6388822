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
	owners   ownerSet // all nodes that own it, this one included
	certain  uint64   // the calm in which owners is right; 0: it is not known
	notices  uint64   // claims by other nodes heard of
}

// holdings is the table of the addresses that this node holds.
type holdings struct {
	self ownerSet // this node alone

	mu   sync.RWMutex
	of   map[string]*holding
	calm uint64 // grows when what is known about other owners no longer counts
}

func newHoldings(nodeID string) *holdings {
	return &holdings{self: lookedUp.with([]registry.Owner{{NodeID: nodeID}}), of: make(map[string]*holding), calm: 1}
}

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
	calm := r.holdings.calmNow()
	others, err := r.claimAndTell(ctx, h, address)
	if err != nil {
		r.holdings.drop(address, h)
		return err
	}
	return r.holdings.welcome(r, address, h, s, r.holdings.self.with(others), calm)
}

func (r *Router) claimAndTell(ctx context.Context, h *holding, address string) ([]registry.Owner, error) {
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
	if err != nil {
		r.way.close(address)
		r.reg.Release(&h.lease)
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return others, nil
}

// welcome ends the claim well, unless the lease was taken meanwhile. The claim
// found owners, in that calm.
func (t *holdings) welcome(r *Router, address string, h *holding, s Session, owners ownerSet, calm uint64) error {
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
	if h.notices == 0 {
		h.owners, h.certain = owners, calm
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

// deliver puts m into the queues of its receiver's sessions here. believed is
// whom a sender that did not look up takes for all owners; if this node does not
// know for sure that they are, the sender shall look up.
func (t *holdings) deliver(m *Message, believed ownerSet) fate {
	t.mu.RLock()
	h := t.of[m.To]
	switch {
	case h == nil:
		t.mu.RUnlock()
		return fateNotHere
	case believed != lookedUp && !h.joining && (h.certain != t.calm || h.owners != believed):
		t.mu.RUnlock()
		return fateStale
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
	if h == nil || h.joining || h.certain != t.calm || h.owners != t.self {
		t.mu.RUnlock()
		return 0, false
	}
	sessions := h.sessions
	t.mu.RUnlock()
	f = deliverTo(sessions, m)
	return f, f != fateJoining
}

// learn notes that a lookup found owners, among them this node with that token,
// unless another claim was heard of since, or the calm has ended.
func (t *holdings) learn(address, token string, owners ownerSet, asked seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h != nil && !h.joining && h.notices == asked.notices && t.calm == asked.calm && h.lease.Token() == token {
		h.owners, h.certain = owners, t.calm
	}
}

// seen is what had been heard about other owners of an address when it was looked
// up.
type seen struct{ notices, calm uint64 }

func (t *holdings) seen(address string) seen {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if h := t.of[address]; h != nil {
		return seen{h.notices, t.calm}
	}
	return seen{calm: t.calm}
}

// claimed notes that another node owns address too.
func (t *holdings) claimed(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.of[address]; h != nil {
		h.notices++
		h.certain = 0
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
// See holdings.deliver for believed; what is known about other owners counts only
// while the node's lease lives.
func (r *Router) deliverHere(m *Message, believed ownerSet, accepted time.Time) fate {
	if believed != lookedUp && !r.leaseLives() {
		return fateStale
	}
	f := r.holdings.deliver(m, believed)
	if f == fateDelivered {
		r.delivery[pathRemote].Observe(r.now().Sub(accepted).Seconds())
	}
	return f
}
