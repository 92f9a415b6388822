package router

import "slices"

// lookupQueue is the routes to look up. A client that sends to many addresses at once must
// not have others wait until all of them are looked up: routes whose sender has many
// messages without outcome wait apart, and get at least a quarter of each round trip.
type lookupQueue struct {
	few, many []*route
}

// manyMessages is from how many messages on a sender's lookups wait apart.
const manyMessages = 64

func (q *lookupQueue) add(rt *route) {
	if s := rt.asker(); s != nil && s.messages > manyMessages {
		q.many = append(q.many, rt)
		return
	}
	q.few = append(q.few, rt)
}

// asker returns the share of the sender of the first message that waits.
func (rt *route) asker() *share {
	switch {
	case len(rt.back) > 0:
		return rt.back[0].sender
	case len(rt.waiting) > 0:
		return rt.waiting[0].sender
	}
	return nil
}

func (q *lookupQueue) len() int { return len(q.few) + len(q.many) }

// take returns the next routes, at most so many.
func (q *lookupQueue) take(most int) []*route {
	if q.len() <= most {
		all := slices.Concat(q.few, q.many)
		*q = lookupQueue{}
		return all
	}
	many := min(len(q.many), max(most/4, most-len(q.few)))
	few := most - many
	taken := slices.Concat(q.few[:few], q.many[:many])
	q.few, q.many = slices.Delete(q.few, 0, few), slices.Delete(q.many, 0, many)
	return taken
}
