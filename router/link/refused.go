package link

import "time"

// Refused is the addresses for which a frame was refused and which were not begun anew.
// What follows for such an address is refused, too, until a frame
// comes that follows no unanswered one: else it would pass what is sent again.
type Refused struct {
	addresses Recent[string, struct{}]
	turned    time.Time // when the younger generation began
}

// Refused returns the addresses that were refused. It belongs to the goroutine that calls
// Receive, which uses it without the link's lock.
func (l *Link) Refused() *Refused { return &l.refused }

// Admits reports whether a frame for address may be taken: not if an earlier one was
// refused and this one might pass it.
func (r *Refused) Admits(address string, first bool) bool {
	switch {
	case r.Len() == 0:
		return true
	case first:
		r.addresses.Delete(address)
		return true
	}
	_, refused := r.addresses.Get(address)
	return !refused
}

// Add remembers that a frame for address was refused, for as long as one sent before may
// follow, which is no longer than a message's lifetime. Beyond limit the older half is
// forgotten.
func (r *Refused) Add(address string, now time.Time, lifetime time.Duration, limit int) {
	if now.Sub(r.turned) > lifetime {
		r.addresses.Turn()
		r.turned = now
	}
	if r.addresses.Put(address, struct{}{}, limit) {
		r.turned = now
	}
}

// Len returns how many addresses are remembered, some of them maybe twice.
func (r *Refused) Len() int { return r.addresses.Len() }
