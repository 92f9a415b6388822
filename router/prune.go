package router

import (
	"context"

	"github.com/beeline-ws/beeline/registry"
)

// staleEntry is an entry of the registry that is to go, if it is still the same.
type staleEntry struct {
	address string
	owner   registry.Owner
	dead    bool // because its node is taken for dead
}

// maxPrunes bounds the entries that wait to be pruned. Beyond it they stay: the
// next message that meets one prunes it.
const maxPrunes = 1 << 10

// prune has the entry of an owner removed that is not the owner any more.
func (r *Router) prune(address string, owner registry.Owner) {
	r.queuePrune(staleEntry{address, owner, false})
}

// pruneDead has the entry of a dead node removed.
func (r *Router) pruneDead(address string, owner registry.Owner) {
	r.queuePrune(staleEntry{address, owner, true})
}

func (r *Router) queuePrune(e staleEntry) {
	if e.owner.Token == "" {
		return
	}
	select {
	case r.prunes <- e:
	default:
	}
}

func (r *Router) runPruner(ctx context.Context) {
	for {
		select {
		case e := <-r.prunes:
			r.pruneAll(ctx, append([]staleEntry{e}, r.morePrunes()...))
		case <-ctx.Done():
			return
		}
	}
}

// morePrunes takes what else waits.
func (r *Router) morePrunes() (entries []staleEntry) {
	for {
		select {
		case e := <-r.prunes:
			entries = append(entries, e)
		default:
			return entries
		}
	}
}

// pruneAll removes entries. A node that was taken for dead may be back: then its
// entries stay. If it is back only afterwards, it may have verified its leases before
// they were removed, so it is told to do so again.
func (r *Router) pruneAll(ctx context.Context, entries []staleEntry) {
	removed, alive := make(map[string]struct{}), make(map[string]bool)
	for _, e := range entries {
		node := e.owner.NodeID
		if _, known := alive[node]; e.dead && !known {
			alive[node] = r.mayLive(ctx, node)
		}
		if e.dead && alive[node] {
			continue
		}
		if err := r.reg.Prune(ctx, e.address, e.owner); err != nil {
			r.log.Debug("pruning failed", "error", err)
		}
		if e.dead {
			removed[node] = struct{}{}
		}
	}
	for node := range removed {
		if r.mayLive(ctx, node) {
			r.mu.Lock()
			r.tellPruned(node)
			r.unlock()
		}
	}
}

// tellPruned has a node verify its leases. It is called with mu held.
func (r *Router) tellPruned(node string) {
	if !r.pushNotice(node, item{cargo: pruned}) {
		r.afterFunc(retryUnsettled, func() { r.tellPruned(node) })
	}
}

// mayLive tells whether a node has a lease, for all that is known.
func (r *Router) mayLive(ctx context.Context, node string) bool {
	_, ok, err := r.reg.Node(ctx, node)
	return ok || err != nil
}
