//go:build !386

package node

// arrivals are those that wait for the same, the oldest first.
type arrivals struct{ first, last *arrival }

// addLocked is called, as unlistLocked is, with the loop's mu held.
func (q *arrivals) addLocked(a *arrival) {
	a.list, a.prev = q, q.last
	if q.last == nil {
		q.first = a
	} else {
		q.last.next = a
	}
	q.last = a
}

// unlistLocked takes a off the list that it is on, if any.
func (a *arrival) unlistLocked() {
	q := a.list
	if q == nil {
		return
	}
	if a.prev == nil {
		q.first = a.next
	} else {
		a.prev.next = a.next
	}
	if a.next == nil {
		q.last = a.prev
	} else {
		a.next.prev = a.prev
	}
	a.list, a.prev, a.next = nil, nil, nil
}
