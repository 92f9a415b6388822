package router

import (
	"context"
	"slices"
	"sync"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
)

// announcement tells an owner that this node has claimed its address, too or instead.
type announcement struct {
	address string
	token   string   // of the replaced claim; empty: both own the address
	answers *answers // nil: nobody waits for the owner's answer
}

// answers gathers what owners answer to the announcements of one claim.
type answers struct {
	came task.Signal // there is one more

	mu     sync.Mutex
	count  int
	absent []registry.Owner // those that do not hold the address, or are dead
	ended  bool             // the claim has failed before all had answered
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

// end notes that the claim has failed.
func (a *answers) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

func (a *answers) hasEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// Append appends the envelope. A claim that has failed replaces nobody: what its client has
// by now elsewhere is not to end.
func (x *announcement) Append(b []byte, _ *link.Frame) ([]byte, link.Kind) {
	switch {
	case x.token != "" && x.answers != nil && x.answers.hasEnded():
		return link.AppendBare(b, link.KindVoid), link.KindVoid
	case x.token != "":
		return link.AppendReplaced(b, x.address, x.token), link.KindReplaced
	}
	return link.AppendClaimed(b, x.address), link.KindClaimed
}

// settle takes an owner's answer. Each one counts: an owner that is dead, or does not hold
// the address, needs no announcement, and its entry goes.
func (x *announcement) settle(r *Router, owner registry.Owner, result ackResult) {
	absent := true
	switch result {
	case ackDead, ackUnknown:
		r.stale[staleDead].Inc()
		r.pruneDead(x.address, owner)
	case ackNotHere:
		r.stale[staleMoved].Inc()
		r.prune(x.address, owner)
	default:
		absent = false
	}
	if x.answers != nil {
		x.answers.add(owner, absent)
	}
}

// announce lets every other owner know of this node's claim and waits until each has
// acknowledged it or is known to be dead. It returns those that own nothing. If nobody
// waits for the claim any more it announces nothing.
func (r *Router) announce(ctx context.Context, address string, others []registry.Owner) (absent []registry.Owner, err error) {
	switch {
	case len(others) == 0:
		return nil, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	gathered := &answers{came: r.runtime.NewSignal()}
	r.queueAnnouncements(address, others, r.opts.DuplicatesOf(address) == registry.Replace, gathered)
	r.flush()
	for {
		count, absent := gathered.get()
		if count == len(others) {
			return absent, nil
		}
		if err := gathered.came.Wait(ctx); err != nil {
			gathered.end()
			return absent, err
		}
	}
}

// queueAnnouncements puts announcements onto the links. An owner whose link is full, or that
// finds no room among the peers, gets none: a claim fails at its deadline, and what nobody
// waits for is tried again. It is called without a lock.
func (r *Router) queueAnnouncements(address string, others []registry.Owner, replaced bool, gathered *answers) {
	for _, o := range others {
		x := &announcement{address: address, answers: gathered}
		if replaced {
			x.token = o.Token
		}
		if !r.push(o.NodeID, link.Frame{Payload: x, Token: o.Token, Urgent: true}) && gathered == nil {
			r.retryLater(func() { r.queueAnnouncements(address, []registry.Owner{o}, replaced, nil) })
		}
	}
}

// retryLater runs f soon, without a lock, unless the router stops before.
func (r *Router) retryLater(f func()) {
	r.run(func(ctx context.Context) {
		if r.runtime.Sleep(ctx, retryUnsettled) == nil {
			f()
			r.flush()
		}
	})
}

// OnEvicted is called by the registry: another session has the lease.
func (r *Router) OnEvicted(l *registry.Lease) {
	t := r.local
	t.mu.Lock()
	if a := t.byName[l.Address()]; a != nil && a.join != nil && &a.lease == l {
		a.join.evicted = ErrLost
	}
	t.mu.Unlock()
	r.taken(l.Address(), func(a *localAddress) bool { return &a.lease == l }, ErrLost)
}

// OnRestored is called by the registry: the entry was lost and written again.
// The other owners must know, as after a claim, but it replaced none of them.
func (r *Router) OnRestored(l *registry.Lease, others []registry.Owner) {
	if len(others) == 0 {
		return
	}
	r.local.claimed(l.Address())
	r.queueAnnouncements(l.Address(), others, false, nil)
	r.flush()
}

// OnDataLost is called by the registry: Redis may have lost data. What this node knows of
// owners is old, and so is what they know of each other: they would refuse a message that
// was not looked up.
func (r *Router) OnDataLost() { r.generation.end() }

// OnLeaseLost is called by the registry: other nodes may have taken this one for dead. What
// it knows of owners is old.
func (r *Router) OnLeaseLost() { r.generation.end() }
