package router

import (
	"context"
	"errors"
	"maps"
	"time"
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

// judge holds a link whose peer did not hear and finds out whether it is dead
// or deaf. It is called with mu held.
func (r *Router) judge(l *peer) {
	if l.judged {
		return
	}
	l.setJudged(r, true)
	r.run(func(ctx context.Context) { r.decide(ctx, l) })
}

// setJudged notes whether a judge holds the link.
func (l *peer) setJudged(r *Router, judged bool) {
	switch {
	case judged && !l.judged:
		r.judging++
	case l.judged && !judged:
		r.judging--
	}
	l.judged = judged
}

// decide returns when the peer is dead and buried, or when it may be tried again.
func (r *Router) decide(ctx context.Context, l *peer) {
	for wait := firstTry; ; wait = min(2*wait, lastTry) {
		if found := r.examine(ctx, l.node); found != deaf && r.bury(ctx, l, found) {
			return
		}
		if r.heard(ctx, l.node) {
			break
		}
		if r.runtime.Sleep(ctx, wait) != nil {
			return
		}
		if r.waitsForNobody(l) {
			break
		}
	}
	r.mu.Lock()
	unheard := l.unheard
	r.mu.Unlock()
	if unheard {
		r.bus.ResetPublishing(l.channel, errHearsElsewhere)
	}
	r.mu.Lock()
	l.setJudged(r, false)
	l.lost() // it may have missed what was published before, too
	l.rewind()
	l.progress = time.Time{}
	l.unheard = false
	r.dirty(l)
	r.schedule(r.now().Add(firstResend))
	r.unlock()
}

var errHearsElsewhere = errors.New("the peer hears by way of another server")

// waitsForNobody tells whether nothing waits on the link, or all that does met its
// deadline.
func (r *Router) waitsForNobody(l *peer) bool {
	r.mu.Lock()
	defer r.unlock()
	if len(l.window) == 0 {
		return true
	}
	for _, it := range l.window {
		if p, ok := it.cargo.(*pending); it.cargo != nudge && (!ok || p.deadlineNode.in) {
			return false
		}
	}
	l.restart(r) // only void numbers are left, and who asked for their answers
	return true
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
func (r *Router) bury(ctx context.Context, l *peer, why condition) bool {
	counted, err := r.publishCounts(ctx, l) // after the death: no failover before it is missed
	if err != nil {
		return false
	}
	if why == gone {
		r.removeLease(ctx, l.node)
	}
	r.mu.Lock()
	if len(r.dead) >= maxDead {
		clear(r.dead) // they would be found dead again
	}
	r.dead[l.node] = struct{}{}
	maps.DeleteFunc(r.origins, func(_ uint64, node string) bool { return node == l.node })
	l.buried(r, counted)
	r.unlock()
	r.log.Info("node is dead", "peer", l.node, "why", why.String())
	return true
}

// publishCounts tells whether a dead peer had not heard what PUBLISH counted for nobody.
func (r *Router) publishCounts(ctx context.Context, l *peer) (bool, error) {
	r.mu.Lock()
	since := l.uncounted
	r.unlock()
	if since.IsZero() {
		return false, nil // there is nothing of that kind
	}
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	return r.reg.ConfirmUnreceived(ctx, l.node, since)
}

func (r *Router) removeLease(ctx context.Context, node string) {
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
	if err := r.reg.RemoveNode(ctx, node); err != nil {
		r.log.Debug("burying failed", "peer", node, "error", err)
	}
}
