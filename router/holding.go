package router

import (
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// holding is an address that this node owns, or is about to own: its lease and
// its sessions here. There are as many as clients: its size counts.
type holding struct {
	lease    registry.Lease
	sessions []Session
	joining  *joining // while the claim is under way
	since    int64    // when the first session was welcomed, in Unix µs
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

// Leave removes a session that joined; the last one releases the address. A
// session that was evicted has left already.
func (r *Router) Leave(address string, s Session) {
	t := r.holdings
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h == nil || h.joining != nil {
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
// know for sure that they are, the sender shall look up. Who was welcomed after m was
// delivered elsewhere is not owed it, and may be a client that has it and has moved.
func (t *holdings) deliver(fan *fanouts, m *Message, believed ownerSet) fate {
	t.mu.RLock()
	h := t.of[m.To]
	switch {
	case h == nil:
		t.mu.RUnlock()
		return fateNotHere
	case m.since != 0 && (h.joining != nil || h.since > m.since):
		t.mu.RUnlock()
		return fateDelivered
	case believed != lookedUp && h.joining == nil && (h.certain != t.calm || h.owners != believed):
		t.mu.RUnlock()
		return fateStale
	}
	sessions := h.sessions
	t.mu.RUnlock()
	return fan.deliver(h, sessions, m)
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

// alone returns the sessions of an address that this node holds, if no other owns it.
func (t *holdings) alone(address string) (h *holding, sessions []Session, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h = t.of[address]
	if h == nil || h.joining != nil || h.certain != t.calm || h.owners != t.self {
		return nil, nil, false
	}
	return h, h.sessions, true
}

// holds tells whether address has sessions here.
func (t *holdings) holds(address string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h := t.of[address]
	return h != nil && len(h.sessions) > 0
}

// learn notes that a lookup found owners, among them this node with that token,
// unless another claim was heard of since, or the calm has ended.
func (t *holdings) learn(address, token string, owners ownerSet, asked seen) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h != nil && h.joining == nil && h.notices == asked.notices && t.calm == asked.calm && h.lease.Token() == token {
		h.owners, h.certain = owners, t.calm
	}
}

// seen is what was known about other owners of an address when it was looked up.
type seen struct {
	notices, calm uint64
	sure          bool   // the registry was settled
	era           uint64 // the router's
}

func (t *holdings) seen(address string) seen {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if h := t.of[address]; h != nil {
		return seen{notices: h.notices, calm: t.calm}
	}
	return seen{calm: t.calm}
}

// claimed notes that another node owns address too, or would like to; it is false if
// this one does not.
func (t *holdings) claimed(address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.of[address]
	if h == nil {
		return false
	}
	h.notices++
	h.certain = 0
	return true
}

// taken ends a holding whose lease another session has, if it is that one.
func (r *Router) taken(address string, same func(*holding) bool, reason error) bool {
	t := r.holdings
	t.mu.Lock()
	h := t.of[address]
	if h == nil || h.joining != nil || !same(h) {
		t.mu.Unlock()
		return false
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
	return true
}

// replaced takes the notice that another node has replaced the claim of that
// token. A claim still under way finds it in stolen when it ends. The entry of one
// that is not held here any more goes.
func (r *Router) replaced(address, token string) {
	t := r.holdings
	t.mu.Lock()
	h := t.of[address]
	joining := h != nil && h.joining != nil
	if joining {
		h.joining.stolen = append(h.joining.stolen, token)
	}
	t.mu.Unlock()
	if joining || r.taken(address, func(h *holding) bool { return h.lease.Token() == token }, ErrReplaced) {
		return
	}
	r.prune(address, registry.Owner{NodeID: r.opts.NodeID, Token: token})
}

func (t *holdings) disturbed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calm++
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
func (r *Router) deliverHere(m *Message, believed ownerSet, accepted, now time.Time) fate {
	if believed != lookedUp && !r.leaseLivesAt(now) {
		return fateStale
	}
	f := r.once(m, func() fate { return r.holdings.deliver(r.fan, m, believed) })
	if f == fateDelivered {
		r.delivery[pathRemote].Observe(now.Sub(accepted).Seconds())
	}
	return f
}

// once delivers m here if nothing that it repeats was delivered. A message of this
// node's that another owner has delivered is no repeat of itself.
func (r *Router) once(m *Message, deliver func() fate) fate {
	if m.content == 0 || m.since != 0 && m.ID.Origin == r.origin {
		return deliver()
	}
	f, repeated := r.repeats.once(m, deliver)
	if repeated {
		r.drops[dropRepeated].Inc()
	}
	return f
}
