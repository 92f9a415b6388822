package router

import (
	"hash/fnv"

	"github.com/beeline-ws/beeline/registry"
)

// The owner cache. A route keeps the owners that its last lookup found, and later
// messages go to them without another lookup. That is never wrong, because the
// owners vouch for it: each knows its co-owners, since every claim tells the
// earlier owners before its client is welcomed. A message that was not looked up
// says whom its sender takes for all owners, and an owner that knows better, or
// does not know for sure, refuses it as stale. Then the sender's node looks up
// and goes on in order, as it does when an owner has gone. While an owner does not
// hear, it can't refuse, and messages are looked up.

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

// outdate has the next message to address not go to the cached owners: this node has
// become one, and they may be none any more, nor answer.
func (r *Router) outdateOwners(address string) {
	r.mu.Lock()
	defer r.release()
	rt := r.routes[address]
	if rt == nil {
		return
	}
	rt.cachedOwners, rt.remote = noneAssumed, false
	rt.asOfLookup.routesGeneration-- // nor does what a lookup under way finds count for later messages
	if r.idleRoutes.remove(rt) {
		rt.settle(r)
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
