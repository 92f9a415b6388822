package router

import (
	"context"
	"slices"
	"sync"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
)

// notice tells an owner that this node has claimed its address, too or instead.
type notice struct {
	address string
	token   string   // of the replaced claim; empty: both own the address
	told    *answers // nil: nobody waits for the owner's answer
}

// answers gathers what owners answer to notices of one claim.
type answers struct {
	came task.Signal // there is one more

	mu     sync.Mutex
	count  int
	absent []registry.Owner // those that do not hold the address, or are dead
}

func (a *answers) add(owner registry.Owner, absent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.count++
	if absent {
		a.absent = append(a.absent, owner)
	}
	a.came.Set()
}

// get returns how many have answered, and those of them that own nothing.
func (a *answers) get() (count int, absent []registry.Owner) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count, slices.Clone(a.absent)
}

// Append appends the envelope.
func (n *notice) Append(b []byte, _ *link.Frame) ([]byte, link.Kind) {
	if n.token != "" {
		return link.AppendReplaced(b, n.address, n.token), link.KindReplaced
	}
	return link.AppendClaimed(b, n.address), link.KindClaimed
}

// settle counts every answer: an owner that is dead, or does not hold the address,
// needs no telling, and its entry goes.
func (n *notice) settle(r *Router, owner registry.Owner, f ackResult) {
	absent := true
	switch f {
	case ackDead, ackUnknown:
		r.stale[staleDead].Inc()
		r.pruneDead(n.address, owner)
	case ackNotHere:
		r.stale[staleMoved].Inc()
		r.prune(n.address, owner)
	default:
		absent = false
	}
	if n.told != nil {
		n.told.add(owner, absent)
	}
}

// tell lets every other owner know of this node's claim and waits until each has
// acknowledged it or is known to be dead. It returns those that own nothing.
func (r *Router) tell(ctx context.Context, address string, others []registry.Owner) (absent []registry.Owner, err error) {
	if len(others) == 0 {
		return nil, nil
	}
	told := &answers{came: r.runtime.NewSignal()}
	r.mu.Lock()
	r.notify(address, others, r.opts.DuplicatesOf(address) == registry.Replace, told)
	r.unlock()
	for {
		count, absent := told.get()
		if count == len(others) {
			return absent, nil
		}
		if err := told.came.Wait(ctx); err != nil {
			return absent, err
		}
	}
}

// notify queues the notices. An owner whose link is full, or finds no room among the
// links, is not told: a claim fails at its deadline, and what nobody waits for is tried again.
func (r *Router) notify(address string, others []registry.Owner, replaced bool, told *answers) {
	for _, o := range others {
		n := &notice{address: address, told: told}
		if replaced {
			n.token = o.Token
		}
		if !r.announceTo(o.NodeID, link.Frame{Payload: n, Token: o.Token, Urgent: true}) && told == nil {
			r.afterFunc(retryUnsettled, func() { r.notify(address, []registry.Owner{o}, replaced, nil) })
		}
	}
}

// announceTo puts an announcement onto the link to a node, or reports that there is no room.
func (r *Router) announceTo(node string, f link.Frame) bool {
	return r.roomForPeer(node) && r.push(r.peer(node), f)
}

// OnEvicted is called by the registry: another session has the lease.
func (r *Router) OnEvicted(l *registry.Lease) {
	t := r.local
	t.mu.Lock()
	if h := t.byName[l.Address()]; h != nil && h.join != nil && &h.lease == l {
		h.join.evicted = ErrLost
	}
	t.mu.Unlock()
	r.taken(l.Address(), func(h *localAddress) bool { return &h.lease == l }, ErrLost)
}

// OnRestored is called by the registry: the entry was lost and written again.
// The other owners must know, as after a claim, but it replaced none of them.
func (r *Router) OnRestored(l *registry.Lease, others []registry.Owner) {
	if len(others) == 0 {
		return
	}
	r.local.claimed(l.Address())
	r.mu.Lock()
	r.notify(l.Address(), others, false, nil)
	r.unlock()
}

// OnDataLost is called by the registry: Redis may have lost data. What this node knows of
// owners is old, and so is what they know of each other: they would refuse a message that
// was not looked up.
func (r *Router) OnDataLost() { r.generation.end() }

// OnLeaseLost is called by the registry: other nodes may have taken this one for dead. What
// it knows of owners is old.
func (r *Router) OnLeaseLost() { r.generation.end() }
