package router

import (
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// The owner cache is a route that keeps the owners which its last lookup found
// (routeCached). Why they are never wrong stands in docs/design.md, "The owner cache". This
// file has the sender's side; the owner's is localAddresses.deliver (local.go), which refuses
// as stale what was sent to another set of owners than it knows of.

// generation numbers the times in which what this node knows of owners counts. It ends when
// Redis may have lost data, when this node's lease may have ended, or when entries of this
// node were removed, since then a claim was maybe not announced to it. A set of owners
// counts in the generation in which it became known, for a message that is sent
// (route.generation) as for one that comes (localAddress.validAt). The first one is 1; 0
// stands for nothing that counts.
type generation struct{ ended atomic.Uint64 }

func (g *generation) current() uint64 { return g.ended.Load() + 1 }

// end ends the use of all that is known.
func (g *generation) end() { g.ended.Add(1) }

// ownerSet stands for a set of nodes: the sum of their names' hashes.
type ownerSet uint64

// noneAssumed is no set: the owners come from a lookup made for this message.
const noneAssumed ownerSet = 0

// with returns the set with more owners, which are not in it.
func (s ownerSet) with(owners []registry.Owner) ownerSet {
	for _, o := range owners {
		h := fnv.New64a()
		h.Write([]byte(o.NodeID))
		s += ownerSet(h.Sum64())
	}
	if s == noneAssumed {
		s = 1
	}
	return s
}

// outdateOwners has the route to address look up its owners for the next message: this node
// has become an owner, and the cached ones may have been replaced, or not answer.
func (r *Router) outdateOwners(address string) {
	s := r.shards.of(address)
	s.lock()
	defer s.unlockAndNotify()
	rt := s.routes[address]
	if rt == nil {
		return
	}
	rt.on(s, routeEvent{kind: becameOwner})
}

// uncache ends the use of the cached owners, and of what a lookup under way finds for later
// messages.
func (rt *route) uncache(s *shard) {
	rt.asOfLookup.generation = 0
	if rt.state == routeCached {
		rt.leave(s)
		rt.state = routeUnknown
	}
	if s.idleRoutes.remove(rt) {
		rt.park(s)
	}
}

// mayUseCache reports whether a message may go to the cached owners now. It may not if one of
// them is dead or does not answer, since its clients may have moved to another node.
func (rt *route) mayUseCache(s *shard) bool {
	if rt.state != routeCached || rt.generation != s.r.generation.current() {
		return false
	}
	return s.r.peers.troubled.Load() == 0 || !slices.ContainsFunc(rt.owners, func(o registry.Owner) bool {
		return s.r.peers.isDead(o.NodeID) || s.r.stallsAt(o)
	})
}

// ownedBy reports whether a node was among the owners that the last messages went to.
func (rt *route) ownedBy(node string) bool {
	return slices.ContainsFunc(rt.owners, func(o registry.Owner) bool { return o.NodeID == node })
}

// uncachedAfterStale is how long a route looks up every message after a cached answer
// was refused: the owners may not know each other for sure.
const uncachedAfterStale = time.Second

// idles reports whether nothing waits on the route and nothing is in flight.
func (rt *route) idles() bool {
	return rt.state <= routeCached && rt.inflight == 0 && rt.handovers.state == handoverIdle
}

// park keeps a route that nothing waits for while its owners are cached, or must not be.
func (rt *route) park(s *shard) {
	switch {
	case rt.lruNode.in:
	case rt.state == routeUnknown && !rt.degraded && s.now().After(rt.noCacheBefore):
		delete(s.routes, rt.address)
	default:
		if last := s.idleRoutes.add(rt); last != nil {
			delete(s.routes, last.address)
		}
	}
}

// routeLRU is the list of the cached routes that nothing waits for, by when they were
// used. What is more than the limit is forgotten.
type routeLRU struct {
	list[*route]
	limit int
}

// add returns the route that is to be forgotten, if any.
func (q *routeLRU) add(rt *route) (forgotten *route) {
	q.list.add(rt)
	if q.count <= q.limit {
		return nil
	}
	forgotten = q.oldest
	q.remove(forgotten)
	return forgotten
}
