package router

import "time"

// deadline is something that is to be done at a time.
type deadline struct {
	at    time.Time
	order uint64 // of deadlines at one time the one that was set first is due first
	place int    // in the heap, counted from 1; 0: it is not set
	due   func(now time.Time)
}

// before is the order in which deadlines are due.
func (x *deadline) before(y *deadline) bool {
	if x.at.Equal(y.at) {
		return x.order < y.order
	}
	return x.at.Before(y.at)
}

// deadlines are those of a router that are set: a binary heap with what is due first at its
// root. To set, move or remove one costs a number of steps that grows with the logarithm
// of their number, so what waits for long costs nothing while others come and go.
type deadlines struct {
	heap  []*deadline
	count uint64 // how often one was set
}

// set has x due at a time, and not at the one that was set before.
func (d *deadlines) set(x *deadline, at time.Time) {
	d.count++
	x.at, x.order = at, d.count
	if x.place == 0 {
		d.heap = append(d.heap, x)
		x.place = len(d.heap)
	}
	d.move(x)
}

// setBy has x due at a time at the latest: one that is due earlier stays as it is.
func (d *deadlines) setBy(x *deadline, at time.Time) {
	if x.place == 0 || at.Before(x.at) {
		d.set(x, at)
	}
}

// stop removes x, if it is set.
func (d *deadlines) stop(x *deadline) {
	if x.place == 0 {
		return
	}
	last := len(d.heap) - 1
	moved, place := d.heap[last], x.place
	d.heap[last] = nil
	d.heap = d.heap[:last]
	x.place = 0
	if moved != x {
		d.put(moved, place)
		d.move(moved)
	}
}

// first returns what is due first, or nil.
func (d *deadlines) first() *deadline {
	if len(d.heap) == 0 {
		return nil
	}
	return d.heap[0]
}

// takeDue removes and returns what is due first, or nil if nothing is due yet.
func (d *deadlines) takeDue(now time.Time) *deadline {
	x := d.first()
	if x == nil || now.Before(x.at) {
		return nil
	}
	d.stop(x)
	return x
}

// move brings x to where it belongs: the children of place n are at 2n and 2n+1.
func (d *deadlines) move(x *deadline) {
	for x.place > 1 && x.before(d.heap[x.place/2-1]) {
		d.swap(x, d.heap[x.place/2-1])
	}
	for child := d.firstChild(x); child != nil && child.before(x); child = d.firstChild(x) {
		d.swap(x, child)
	}
}

// firstChild returns the child of x that is due first, or nil.
func (d *deadlines) firstChild(x *deadline) *deadline {
	left := 2 * x.place
	switch {
	case left > len(d.heap):
		return nil
	case left < len(d.heap) && d.heap[left].before(d.heap[left-1]):
		return d.heap[left]
	}
	return d.heap[left-1]
}

func (d *deadlines) swap(x, y *deadline) {
	place := x.place
	d.put(x, y.place)
	d.put(y, place)
}

func (d *deadlines) put(x *deadline, place int) {
	x.place = place
	d.heap[place-1] = x
}
