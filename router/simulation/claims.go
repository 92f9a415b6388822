package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// claim is a claim on its way, and then the lease that it has got.
type claim struct {
	lease    *registry.Lease
	address  string
	number   uint64
	rule     registry.Duplicates
	again    bool // it restores an entry
	deadline time.Time
	claimed  func([]registry.Owner, error)

	err       error
	verdict   verdict
	others    []registry.Owner
	epoch     uint64
	complete  bool // the epoch was settled before the claim was sent
	wrote     bool // some run of it did, or may have done
	unsettled bool
	answered  func()
}

// verdict is what a claim's script says.
type verdict uint8

const (
	refused    verdict = iota // others own the address
	written                   // it was
	superseded                // a newer claim of this node owns the address
)

// ClaimAsync claims an address: see package registry.
func (r *simRegistry) ClaimAsync(deadline time.Time, l *registry.Lease, address string, rule registry.Duplicates, claimed func([]registry.Owner, error)) {
	r.tokens++
	l.Name(address, r.tokens)
	c := &claim{lease: l, address: address, number: r.tokens, rule: rule, deadline: deadline, claimed: claimed}
	c.answered = func() { r.claimAnswered(c) }
	r.queue(c)
}

func (r *simRegistry) queue(c *claim) {
	if r.ended {
		r.failClaim(c, errStopped)
		return
	}
	r.claims = append(r.claims, c)
	r.some.Set()
}

// Withdraw has a claim under way fail rather than wait.
func (r *simRegistry) Withdraw(l *registry.Lease) {
	if r.lease(l) != nil {
		return
	}
	r.gone[l] = true
	if end := r.waits[l]; end != nil {
		end()
	}
}

// Release ends a lease.
func (r *simRegistry) Release(l *registry.Lease) {
	if c := r.forget(l); c != nil {
		r.release(release{address: c.address, number: c.number})
	}
}

func (r *simRegistry) release(x release) {
	if !r.ended {
		r.releases = append(r.releases, x)
		r.some.Set()
	}
}

func (r *simRegistry) lease(l *registry.Lease) *claim {
	for _, c := range r.held {
		if c.lease == l {
			return c
		}
	}
	return nil
}

func (r *simRegistry) forget(l *registry.Lease) (forgotten *claim) {
	r.held = slices.DeleteFunc(r.held, func(c *claim) bool {
		if c.lease == l {
			forgotten = c
		}
		return c.lease == l
	})
	return forgotten
}

// runClaimBatcher is the claim batcher's task: claims and releases leave in groups, in the order in
// which they came, one group at a time.
func (r *simRegistry) runClaimBatcher() {
	for r.some.Wait(r.ctx) == nil {
		for len(r.claims)+len(r.releases) > 0 && r.ctx.Err() == nil {
			r.commit()
		}
	}
	claims := r.claims
	r.claims = nil
	for _, c := range claims {
		c.err = errStopped
		c.answered()
	}
}

func (r *simRegistry) commit() {
	claims, releases := r.claims, r.releases
	r.claims, r.releases = nil, nil
	claims = slices.DeleteFunc(claims, func(c *claim) bool {
		late := !c.deadline.IsZero() && r.host.now().After(c.deadline)
		if late {
			c.err = context.DeadlineExceeded
			r.host.start(c.answered)
		}
		return late
	})
	for _, c := range claims {
		if c.wrote && c.rule == registry.Replace && !c.again { // it replaces whoever replaced the run before
			r.tokens++
			c.number = r.tokens
			c.lease.Name(c.address, c.number)
		}
		c.complete, c.epoch, c.err = r.AllSettled(), r.epoch.id, nil
	}
	var id uint64
	sent := make([]claim, len(claims)) // as they are now: the call may come late
	for i, c := range claims {
		sent[i] = *c
	}
	err := r.call(r.ctx, func(s *server) (err error) {
		if s.primary != nil {
			return errReadOnly
		}
		for i := range sent {
			r.write(s, &sent[i])
		}
		for _, x := range releases {
			r.remove(s, x)
		}
		id, err = s.readEpoch(r.silence())
		return err
	})
	if err == nil {
		r.see(id)
	}
	for i, c := range claims {
		switch {
		case err != nil:
			c.err, c.wrote = err, true
		default:
			c.verdict, c.others = sent[i].verdict, sent[i].others
			c.complete = c.complete && c.epoch == id
			c.epoch = id
			c.wrote = c.wrote || c.verdict == written
		}
		c.answered()
	}
	if err != nil && len(releases) > 0 {
		r.host.after(releaseRetry, func() {
			r.releases = append(releases, r.releases...)
			r.some.Set()
		})
		return
	}
	for _, x := range releases {
		if x.doubtful { // the claim may be on its way still
			r.host.after(releaseRetry, func() { r.release(release{x.address, x.number, false}) })
		}
	}
}

// write is claim.lua.
func (r *simRegistry) write(s *server, c *claim) {
	now, node := r.now(), r.host.id
	entries := s.data.of(c.address, now)
	c.others = ownersOf(entries, node)
	token, has := s.data.token(c.address, node, now)
	switch {
	case c.again && has && token > c.number:
		c.verdict = superseded
	case c.rule == registry.Reject && len(c.others) > 0:
		c.verdict = refused
	default:
		c.verdict = written
		e := entry{node, c.number}
		r.host.world.record("%s claims %s as %d beside %v", node, c.address, c.number, c.others)
		s.write(func(d *dataset) { d.put(c.address, e, now, r.timing.LeaseTTL()) })
	}
}

func (r *simRegistry) remove(s *server, x release) {
	now, e := r.now(), entry{r.host.id, x.number}
	if token, ok := s.data.token(x.address, e.node, now); ok && token == e.token {
		r.host.world.record("%s releases %s as %d", e.node, x.address, x.number)
		s.write(func(d *dataset) { d.remove(x.address, []entry{e}, now) })
	}
}

func (r *simRegistry) claimAnswered(c *claim) {
	switch {
	case c.err != nil:
		r.failClaim(c, c.err)
	case c.verdict == written && c.complete && r.settledIn(c.epoch):
		r.held = append(r.held, c)
		delete(r.gone, c.lease)
		c.claimed(c.others, nil)
	default:
		settled := r.settledIn(c.epoch)
		c.unsettled = c.unsettled || !settled
		r.host.start(func() { r.repeat(c, settled) })
	}
}

// repeat makes a claim once more when what was in its way is gone.
func (r *simRegistry) repeat(c *claim, settled bool) {
	if err := r.clearWay(c, settled); err != nil {
		r.failClaim(c, err)
		return
	}
	r.queue(c)
}

func (r *simRegistry) clearWay(c *claim, settled bool) error {
	ctx, cancel := r.host.runtime.WithCancel(r.ctx)
	defer cancel()
	if !c.deadline.IsZero() {
		ctx, cancel = r.host.runtime.WithTimeout(ctx, c.deadline.Sub(r.host.now()))
		defer cancel()
	}
	r.waits[c.lease] = cancel
	defer delete(r.waits, c.lease)
	if r.gone[c.lease] {
		cancel()
	}
	switch {
	case !settled:
		return r.awaitSettled(ctx)
	case c.verdict == refused:
		return r.pruneDead(ctx, c.address, c.others)
	}
	return nil
}

// pruneDead removes the owners whose nodes are dead. The error is ErrHeld if one lives.
func (r *simRegistry) pruneDead(ctx context.Context, address string, owners []registry.Owner) error {
	live, sure, err := r.alive(ctx, nodesOf(owners))
	if err != nil {
		return err
	}
	for _, o := range owners {
		if live[o.NodeID] {
			return registry.ErrHeld
		}
	}
	if sure {
		return r.Prune(ctx, address, owners...)
	}
	return r.host.runtime.Sleep(ctx, settlePause)
}

func nodesOf(owners []registry.Owner) (nodes []string) {
	for _, o := range owners {
		nodes = append(nodes, o.NodeID)
	}
	return nodes
}

// failClaim ends a claim with an error and releases what it wrote.
func (r *simRegistry) failClaim(c *claim, err error) {
	delete(r.gone, c.lease)
	if c.wrote {
		r.release(release{c.address, c.number, c.err != nil})
	}
	var holders []registry.Owner
	if errors.Is(err, registry.ErrHeld) {
		holders = c.others
	}
	if c.unsettled && !errors.Is(err, registry.ErrUnsettled) {
		err = fmt.Errorf("%w: %w", registry.ErrUnsettled, err)
	}
	c.claimed(holders, fmt.Errorf("claim %q: %w", c.address, err))
}
