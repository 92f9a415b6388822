package registry

// wheel spreads the leases over the ticks of a refresh interval: one slot is due
// at each tick. It is not safe for concurrent use.
type wheel struct {
	slots [][]*Lease
	hand  int // the slot that the next tick refreshes
	next  int // where the next lease is tried
	count int
}

func newWheel(slots int) *wheel { return &wheel{slots: make([][]*Lease, slots)} }

// add puts l into a slot. The slots are filled in turn, so leases that come
// together are refreshed evenly apart; of two opposite slots the emptier is
// taken, so what releases leave behind is levelled.
func (w *wheel) add(l *Lease) {
	slot := w.next
	if opposite := (slot + len(w.slots)/2) % len(w.slots); len(w.slots[opposite]) < len(w.slots[slot]) {
		slot = opposite
	}
	w.next = (w.next + 1) % len(w.slots)
	l.slot, l.index = int16(slot), int32(len(w.slots[slot]))
	w.slots[slot] = append(w.slots[slot], l)
	w.count++
}

// remove takes l out; the last of its slot moves to its place.
func (w *wheel) remove(l *Lease) {
	slot := w.slots[l.slot]
	last := slot[len(slot)-1]
	slot[l.index] = last
	last.index = l.index
	slot[len(slot)-1] = nil
	w.slots[l.slot] = slot[:len(slot)-1]
	w.count--
}

// turn returns a copy of the n slots that are due and moves the hand on.
func (w *wheel) turn(n int) (due []*Lease) {
	for range n {
		due = append(due, w.slots[w.hand]...)
		w.hand = (w.hand + 1) % len(w.slots)
	}
	return due
}

// all returns every lease.
func (w *wheel) all() []*Lease {
	all := make([]*Lease, 0, w.count)
	for _, slot := range w.slots {
		all = append(all, slot...)
	}
	return all
}
