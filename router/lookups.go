package router

import "slices"

// lookupQueue is the lookups that wait for the next round trip. A client that sends to many
// addresses at once must not have others wait until all of them are looked up: routes whose
// sender has many messages without outcome wait apart, and get at least a quarter of each
// round trip.
type lookupQueue struct {
	few, many []lookup
	count     uint64 // of lookups that were queued
}

// manyMessages is from how many messages on a sender's lookups wait apart.
const manyMessages = 64

// add queues a lookup of the route's owners and returns its number.
func (q *lookupQueue) add(s *shard, rt *route) (number uint64) {
	q.count++
	l := lookup{shard: s, route: rt, number: q.count}
	if sender := rt.firstSender(); sender != nil && sender.messages.Load() > manyMessages {
		q.many = append(q.many, l)
	} else {
		q.few = append(q.few, l)
	}
	return l.number
}

// firstSender returns the share of the sender of the first message that waits.
func (rt *route) firstSender() *share {
	switch {
	case len(rt.back) > 0:
		return rt.back[0].sender
	case len(rt.waiting) > 0:
		return rt.waiting[0].sender
	}
	return nil
}

func (q *lookupQueue) len() int { return len(q.few) + len(q.many) }

// take returns the next lookups, at most so many.
func (q *lookupQueue) take(most int) []lookup {
	if q.len() <= most {
		all := slices.Concat(q.few, q.many)
		q.few, q.many = nil, nil
		return all
	}
	many := min(len(q.many), max(most/4, most-len(q.few)))
	few := most - many
	taken := slices.Concat(q.few[:few], q.many[:many])
	q.few, q.many = slices.Delete(q.few, 0, few), slices.Delete(q.many, 0, many)
	return taken
}
