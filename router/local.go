package router

import (
	"slices"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// localAddress is an address that this node owns, or is about to own: its lease and
// its sessions here. There are as many as clients: its size counts.
type localAddress struct {
	lease         registry.Lease
	sessions      []Session
	join          *pendingJoin // while the claim is under way
	since         int64        // when the first session was welcomed, in Unix µs
	owners        ownerSet     // all nodes that own it, this one included
	validAt       uint64       // the generation in which owners is right; 0: it is not known
	announcements uint64       // claims by other nodes heard of
}

// localAddresses is the table of the addresses that this node holds.
type localAddresses struct {
	self       ownerSet // this node alone
	generation *generation

	mu     sync.RWMutex
	byName map[string]*localAddress
}

func newLocalAddresses(nodeID string, g *generation) *localAddresses {
	return &localAddresses{self: noneAssumed.with([]registry.Owner{{NodeID: nodeID}}), generation: g, byName: make(map[string]*localAddress)}
}

// Leave removes a session that joined; the last one releases the address. A
// session that was evicted has left already.
func (r *Router) Leave(address string, s Session) {
	t := r.local
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.byName[address]
	if a == nil || a.join != nil {
		return
	}
	i := slices.Index(a.sessions, s)
	if i < 0 {
		return
	}
	a.sessions = slices.Concat(a.sessions[:i], a.sessions[i+1:]) // deliver may hold the old slice
	if len(a.sessions) == 0 {
		delete(t.byName, address)
		r.reg.Release(&a.lease)
	}
}

// Sessions returns this node's sessions that have joined address.
func (r *Router) Sessions(address string) []Session {
	t := r.local
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.byName[address]; a != nil {
		return slices.Clone(a.sessions)
	}
	return nil
}

// deliver puts m into the queues of its receiver's sessions here. assumed is
// whom a sender that did not look up takes for all owners; if this node does not
// know for sure that they are, the sender shall look up. Who was welcomed after m was
// delivered elsewhere is not owed it, and may be a client that has it and has moved.
func (t *localAddresses) deliver(fan *fanouts, m *Message, assumed ownerSet) ackResult {
	t.mu.RLock()
	a := t.byName[m.To]
	switch {
	case a == nil:
		t.mu.RUnlock()
		return ackNotHere
	case m.since != 0 && (a.join != nil || a.since > m.since):
		t.mu.RUnlock()
		return ackDelivered
	case assumed != noneAssumed && a.join == nil && (a.validAt != t.generation.current() || a.owners != assumed):
		t.mu.RUnlock()
		return ackStale
	}
	sessions := a.sessions
	t.mu.RUnlock()
	return fan.deliver(a, sessions, m)
}

// deliverTo asks every session. Where all are closing, or none has joined yet,
// the address is about to change: the sender shall look again.
func deliverTo(sessions []Session, m *Message) ackResult {
	result := ackJoining
	for _, s := range sessions {
		switch s.Deliver(m) {
		case Delivered:
			result = ackDelivered
		case Overloaded:
			if result != ackDelivered {
				result = ackOverloaded
			}
		}
	}
	return result
}

// alone returns the sessions of an address that this node holds, if no other owns it.
func (t *localAddresses) alone(address string) (a *localAddress, sessions []Session, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a = t.byName[address]
	if a == nil || a.join != nil || a.validAt != t.generation.current() || a.owners != t.self {
		return nil, nil, false
	}
	return a, a.sessions, true
}

// holds reports whether address has sessions here.
func (t *localAddresses) holds(address string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a := t.byName[address]
	return a != nil && len(a.sessions) > 0
}

// noteOwners notes that a lookup found owners, among them this node with that token,
// unless another claim was heard of since, or the generation has ended.
func (t *localAddresses) noteOwners(address, token string, owners ownerSet, asked ownersKnown) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.byName[address]
	if a != nil && a.join == nil && a.announcements == asked.announcements && t.generation.current() == asked.generation && a.lease.Token() == token {
		a.owners, a.validAt = owners, asked.generation
	}
}

// ownersKnown is what was known about other owners of an address when it was looked up.
type ownersKnown struct {
	announcements, generation uint64
	settled                   bool // the registry was settled
}

// known returns what is known now about other owners of an address.
func (t *localAddresses) known(address string) ownersKnown {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a := t.byName[address]; a != nil {
		return ownersKnown{announcements: a.announcements, generation: t.generation.current()}
	}
	return ownersKnown{generation: t.generation.current()}
}

// claimed notes that another node owns address too, or would like to. It reports whether
// this one does.
func (t *localAddresses) claimed(address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.byName[address]
	if a == nil {
		return false
	}
	a.announcements++
	a.validAt = 0
	return true
}

// taken ends a local address whose lease another session has, if it is that one.
func (r *Router) taken(address string, same func(*localAddress) bool, reason error) bool {
	t := r.local
	t.mu.Lock()
	a := t.byName[address]
	if a == nil || a.join != nil || !same(a) {
		t.mu.Unlock()
		return false
	}
	delete(t.byName, address)
	r.reg.Release(&a.lease)
	sessions := a.sessions
	a.sessions = nil
	t.mu.Unlock()
	for _, s := range sessions {
		s.Evict(address, reason)
	}
	return true
}

// replaced is called when another node announces that it has replaced the claim with that
// token. A claim that is under way finds the token in replacedTokens when it ends. If the
// claim is not held here any more, its entry is pruned.
func (r *Router) replaced(address, token string) {
	t := r.local
	t.mu.Lock()
	a := t.byName[address]
	joining := a != nil && a.join != nil
	if joining {
		a.join.replacedTokens = append(a.join.replacedTokens, token)
	}
	t.mu.Unlock()
	if joining || r.taken(address, func(a *localAddress) bool { return a.lease.Token() == token }, ErrReplaced) {
		return
	}
	r.prune(address, registry.Owner{NodeID: r.opts.NodeID, Token: token})
}

// sessions counts the sessions of all addresses.
func (t *localAddresses) sessions() (n int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, a := range t.byName {
		n += len(a.sessions)
	}
	return n
}

// deliverHere delivers m to this node's sessions and measures how long it took.
// See localAddresses.deliver for assumed; what is known about other owners counts only
// while the node's lease lives.
func (r *Router) deliverHere(m *Message, assumed ownerSet, accepted, now time.Time) ackResult {
	if assumed != noneAssumed && !r.leaseLivesAt(now) {
		return ackStale
	}
	result := r.deliverOnce(m, func() ackResult { return r.local.deliver(r.fan, m, assumed) })
	if result == ackDelivered {
		r.delivery[pathRemote].Observe(now.Sub(accepted).Seconds())
	}
	return result
}

// deliverOnce delivers m here if nothing that it repeats was delivered. A message of this
// node's that another owner has delivered is no repeat of itself.
func (r *Router) deliverOnce(m *Message, deliver func() ackResult) ackResult {
	if m.contentHash == 0 || m.since != 0 && m.ID.Origin == r.origin {
		return deliver()
	}
	result, repeated := r.dedup.deliverOnce(m, deliver)
	if repeated {
		r.drops[dropRepeated].Inc()
	}
	return result
}
