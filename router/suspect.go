package router

import (
	"context"
	"errors"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

const (
	// probeTimeout bounds one look at a suspect.
	probeTimeout = 500 * time.Millisecond
	// firstProbeDelay and lastProbeDelay are the waits before a suspect is probed again.
	firstProbeDelay = 10 * time.Millisecond
	lastProbeDelay  = 100 * time.Millisecond
)

// suspect finds out whether a peer whose link is suspended is dead. It is called with the
// peer's lock held.
func (r *Router) suspect(p *peer) {
	r.run(func(ctx context.Context) { r.probeSuspect(ctx, p) })
}

// probeSuspect returns when the peer is declared dead, or when it may be tried again. It waits
// first if a probe has just found the peer: the connection that publishes may lead to a former
// master for a while, where nobody hears, and the probes' connection to the present one. Then
// each probe finds the peer, and the next batch makes it suspect again.
func (r *Router) probeSuspect(ctx context.Context, p *peer) {
	if r.runtime.Sleep(ctx, r.probePause(p)) != nil {
		return
	}
	for wait := firstProbeDelay; ; wait = min(2*wait, lastProbeDelay) {
		if why := r.confirmDeath(ctx, p.node); why != notDead && r.declareDead(ctx, p, why) {
			return
		}
		if r.subscribed(ctx, p.channel) {
			break
		}
		if r.runtime.Sleep(ctx, wait) != nil {
			return
		}
		if r.giveUpOn(p) {
			break
		}
	}
	p.mu.Lock()
	unheard := p.link.Unheard()
	p.mu.Unlock()
	if unheard {
		r.bus.ResetPublishing(p.channel, errHearsElsewhere)
	}
	p.mu.Lock()
	p.onLocked(r, foundAlive)
	p.changedLocked(r)
	p.mu.Unlock()
	r.flush()
}

var errHearsElsewhere = errors.New("the peer hears by way of another server")

// probePause returns how long to wait before the first probe: until lastProbeDelay has passed
// since a probe found the peer.
func (r *Router) probePause(p *peer) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(lastProbeDelay-r.now().Sub(p.foundAt), 0)
}

// giveUpOn reports whether nothing waits for the peer, or all that does met its deadline,
// which is forgotten then.
func (r *Router) giveUpOn(p *peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.link.Payloads(overdue) {
		return false
	}
	if p.link.Len() > 0 { // numbers without a message, and requests for acknowledgements
		p.link.Clear(r.now())
	}
	return true
}

// overdue reports whether a payload has met its deadline.
func overdue(x link.Payload) bool {
	p, ok := x.(*pending)
	return ok && p.isOver()
}

// subscribed reports whether a node's private channel has a subscriber: an empty batch is
// published to it.
func (r *Router) subscribed(ctx context.Context, channel string) bool {
	ctx, cancel := r.runtime.WithTimeout(ctx, probeTimeout)
	defer cancel()
	empty := r.signed(channel, func(b []byte) []byte { return b })
	n, err := r.bus.Publish(ctx, empty)
	return err == nil && n > 0
}

// death is why a suspect is dead.
type death uint8

const (
	notDead      death = iota // for all that is known; it may not be subscribed
	leaseEnded                // its lease has ended in a registry that lost nothing
	notAtAddress              // nobody, or somebody else, is at its address
)

func (d death) String() string {
	return [...]string{"it may live", "its lease has ended", "it is not at its address"}[d]
}

// confirmDeath finds out whether a suspect is dead for sure. A node that is draining has
// closed its listener; that proves nothing.
func (r *Router) confirmDeath(ctx context.Context, node string) death {
	ctx, cancel := r.runtime.WithTimeout(ctx, probeTimeout)
	defer cancel()
	info, leased, err := r.reg.Node(ctx, node)
	switch {
	case err != nil:
		return notDead
	case !leased:
		if dead, err := r.reg.ConfirmDead(ctx, node); err == nil && dead {
			return leaseEnded
		}
	case !info.Draining && r.goneFrom(ctx, info.URL, node):
		return notAtAddress
	}
	return notDead
}

// goneFrom reports whether the node is not any more where its lease says: nobody is there,
// or another one.
func (r *Router) goneFrom(ctx context.Context, url, node string) bool {
	who, err := r.opts.Prober.NodeAt(ctx, url)
	if err != nil {
		return errors.Is(err, ErrRefused)
	}
	return who != node
}

// declareDead answers what waited for a peer, and remembers that it is dead. The lease of one
// that is not at its address is removed first: while there is one, nothing of the node's is
// pruned. One whose lease has ended has none, or has come back and has another, which must
// stay: the node relies on it, and welcomes clients. It fails if Redis doesn't answer.
func (r *Router) declareDead(ctx context.Context, p *peer, why death) bool {
	countsHold, err := r.confirmUnreceived(ctx, p) // after the death: no failover before it is missed
	if err != nil {
		return false
	}
	if why == notAtAddress {
		r.removeLease(ctx, p.node)
	}
	r.origins.forget(p.node)
	r.shards.lockAll() // no message may pass one that is to be sent again
	p.mu.Lock()
	settled := p.link.DeclareDead(r.now(), countsHold, nil)
	p.onLocked(r, foundDead)
	p.changedLocked(r)
	p.mu.Unlock()
	announcements := settled[:0]
	for _, s := range settled {
		m, ok := s.Payload.(*pending)
		if !ok {
			announcements = append(announcements, s)
			continue
		}
		m.acked(m.shard, registry.Owner{NodeID: p.node, Token: s.Token}, s.Result)
	}
	r.shards.unlockAll()
	r.settle(p.node, announcements)
	r.flush()
	r.log.Info("node is dead", "peer", p.node, "why", why.String())
	return true
}

// confirmUnreceived reports whether a dead peer has not received what PUBLISH counted for
// nobody.
func (r *Router) confirmUnreceived(ctx context.Context, p *peer) (bool, error) {
	p.mu.Lock()
	since := p.link.UnheardSince()
	p.mu.Unlock()
	if since.IsZero() {
		return false, nil // there is nothing of that kind
	}
	ctx, cancel := r.runtime.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return r.reg.ConfirmUnreceived(ctx, p.node, since)
}

func (r *Router) removeLease(ctx context.Context, node string) {
	ctx, cancel := r.runtime.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := r.reg.RemoveNode(ctx, node); err != nil {
		r.log.Debug("removing the lease of a dead node failed", "peer", node, "error", err)
	}
}
