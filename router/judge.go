package router

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/beeline-ws/beeline/router/link"
)

const (
	// judgeTimeout bounds one look at a peer.
	judgeTimeout = 500 * time.Millisecond
	// firstTry and lastTry are the waits before a deaf peer is tried again.
	firstTry = 10 * time.Millisecond
	lastTry  = 100 * time.Millisecond
	// maxDead bounds how many dead nodes are remembered.
	maxDead = 1 << 10
)

// judge finds out whether the peer of a link that was suspended is dead or deaf. It is
// called with mu held.
func (r *Router) judge(p *peer) {
	r.run(func(ctx context.Context) { r.decide(ctx, p) })
}

// decide returns when the peer is dead and buried, or when it may be tried again.
func (r *Router) decide(ctx context.Context, p *peer) {
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		if found := r.examine(ctx, p.node); found != deaf && r.bury(ctx, p, found) {
			return
		}
		if r.heard(ctx, p.node) {
			break
		}
		if r.runtime.Sleep(ctx, wait) != nil {
			return
		}
		if r.waitsForNobody(p) {
			break
		}
	}
	r.mu.Lock()
	unheard := p.link.Unheard()
	r.mu.Unlock()
	if unheard {
		r.bus.ResetPublishing(p.channel, errHearsElsewhere)
	}
	r.mu.Lock()
	p.link.Resume(r.now())
	r.linkChanged(p)
	r.unlock()
}

var errHearsElsewhere = errors.New("the peer hears by way of another server")

// waitsForNobody tells whether nothing waits on the link, or all that does met its
// deadline.
func (r *Router) waitsForNobody(p *peer) bool {
	r.mu.Lock()
	defer r.unlock()
	if !p.link.Payloads(overdue) {
		return false
	}
	if p.link.Len() > 0 { // void numbers, and requests for acknowledgements
		p.link.Clear(r.now())
	}
	return true
}

// overdue reports whether a payload has met its deadline.
func overdue(x link.Payload) bool {
	p, ok := x.(*pending)
	return ok && !p.deadlineNode.in
}

// heard tells whether a node's private channel has a listener: an empty batch is
// published to it.
func (r *Router) heard(ctx context.Context, node string) bool {
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	empty := r.signed(r.keys.Channel(node), func(b []byte) []byte { return b })
	n, err := r.bus.Publish(ctx, empty)
	return err == nil && n > 0
}

// condition is what a judge finds out about a node that did not hear.
type condition uint8

const (
	deaf   condition = iota // for all that is known
	lapsed                  // dead: its lease has ended in a registry that lost nothing
	gone                    // dead: nobody, or somebody else, is at its address
)

func (c condition) String() string {
	return [...]string{"deaf", "its lease has ended", "it is not at its address"}[c]
}

// examine finds out whether a node that did not hear is dead for sure. A node that is
// draining has closed its listener; that proves nothing.
func (r *Router) examine(ctx context.Context, node string) condition {
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	info, leased, err := r.reg.Node(ctx, node)
	switch {
	case err != nil:
		return deaf
	case !leased:
		if dead, err := r.reg.ConfirmDead(ctx, node); err == nil && dead {
			return lapsed
		}
	case !info.Draining && r.goneFrom(ctx, info.URL, node):
		return gone
	}
	return deaf
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

// bury remembers that a node is dead and answers what waited for it. The lease of one
// that is gone is removed first: while there is one, nothing of the node's is pruned. One
// that has lapsed has no lease, or has come back and has another, which must stay: the
// node relies on it, and welcomes clients. It fails if Redis doesn't answer.
func (r *Router) bury(ctx context.Context, p *peer, why condition) bool {
	counted, err := r.publishCounts(ctx, p) // after the death: no failover before it is missed
	if err != nil {
		return false
	}
	if why == gone {
		r.removeLease(ctx, p.node)
	}
	r.mu.Lock()
	if len(r.dead) >= maxDead {
		clear(r.dead) // they would be found dead again
	}
	r.dead[p.node] = struct{}{}
	maps.DeleteFunc(r.origins, func(_ uint64, node string) bool { return node == p.node })
	settled := p.link.DeclareDead(r.now(), counted, r.takeSettled())
	r.linkChanged(p)
	r.settle(p, settled)
	r.unlock()
	r.log.Info("node is dead", "peer", p.node, "why", why.String())
	return true
}

// publishCounts tells whether a dead peer had not heard what PUBLISH counted for nobody.
func (r *Router) publishCounts(ctx context.Context, p *peer) (bool, error) {
	r.mu.Lock()
	since := p.link.UnheardSince()
	r.unlock()
	if since.IsZero() {
		return false, nil // there is nothing of that kind
	}
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	return r.reg.ConfirmUnreceived(ctx, p.node, since)
}

func (r *Router) removeLease(ctx context.Context, node string) {
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	if err := r.reg.RemoveNode(ctx, node); err != nil {
		r.log.Debug("burying failed", "peer", node, "error", err)
	}
}
