package link

import "time"

// Refused is the addresses for which a frame was refused and which were not begun anew,
// in two generations. What follows for such an address is refused, too, until a frame
// comes that follows no unanswered one: else it would pass what is sent again.
type Refused struct {
	young, old map[string]struct{}
	turned     time.Time // when old was young
}

// Refused returns the addresses that were refused. It belongs to the goroutine that calls
// Receive, which uses it without the link's lock.
func (l *Link) Refused() *Refused { return &l.refused }

// Admits reports whether a frame for address may be taken: not if an earlier one was
// refused and this one might pass it.
func (r *Refused) Admits(address string, first bool) bool {
	if r.Len() == 0 {
		return true
	}
	if first {
		delete(r.young, address)
		delete(r.old, address)
		return true
	}
	_, young := r.young[address]
	_, old := r.old[address]
	return !young && !old
}

// Add remembers that a frame for address was refused, for as long as one sent before may
// follow, which is no longer than a message's lifetime. Beyond limit the older half is
// forgotten.
func (r *Refused) Add(address string, now time.Time, lifetime time.Duration, limit int) {
	if r.young == nil || now.Sub(r.turned) > lifetime || len(r.young) >= limit {
		r.old, r.young, r.turned = r.young, make(map[string]struct{}), now
	}
	r.young[address] = struct{}{}
}

// Len returns how many addresses are remembered, some of them maybe twice.
func (r *Refused) Len() int { return len(r.young) + len(r.old) }
