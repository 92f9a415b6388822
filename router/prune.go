package router

import (
	"context"
	"slices"
	"sync"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
	"github.com/beeline-ws/beeline/router/task"
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
	r.prunes.add(e)
}

// prunes are the entries that wait to be pruned.
type prunes struct {
	some task.Signal // there is one

	mu      sync.Mutex
	entries []staleEntry
}

// add has an entry wait, if there are less than maxPrunes.
func (q *prunes) add(e staleEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) < maxPrunes {
		q.entries = append(q.entries, e)
		q.some.Set()
	}
}

// take removes all that wait.
func (q *prunes) take() (entries []staleEntry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	entries, q.entries = q.entries, nil
	return entries
}

func (r *Router) runPruner(ctx context.Context) {
	for r.prunes.some.Wait(ctx) == nil {
		r.pruneAll(ctx, r.prunes.take())
	}
}

// pruneAll removes entries. A node that was taken for dead may be back: then its
// entries stay. If it is back only afterwards, it may have verified its leases before
// they were removed, so it is told to do so again.
func (r *Router) pruneAll(ctx context.Context, entries []staleEntry) {
	var removed []string // the nodes whose entries were, each once
	alive := make(map[string]bool)
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
		if e.dead && !slices.Contains(removed, node) {
			removed = append(removed, node)
		}
	}
	for _, node := range removed {
		if r.mayLive(ctx, node) {
			r.announcePruned(node)
			r.flush()
		}
	}
}

// announcePruned has a node verify its leases.
func (r *Router) announcePruned(node string) {
	if !r.push(node, link.Frame{Payload: pruned, Urgent: true}) {
		r.retryLater(func() { r.announcePruned(node) })
	}
}

// mayLive reports whether a node has a lease, or the registry can't say.
func (r *Router) mayLive(ctx context.Context, node string) bool {
	_, ok, err := r.reg.Node(ctx, node)
	return ok || err != nil
}
