package router

import "github.com/beeline-ws/beeline/router/link"

const (
	// recentIDs is over how many of its latest messages an origin's IDs are
	// remembered, whomever it sent them to.
	recentIDs = 1 << 16
	// recentLate is by how many messages of its origin one may come late at the most: more
	// than a node sends in a message's life. An ID that is further behind follows one
	// that somebody has made up.
	recentLate = 1 << 21
	// recentOrigins bounds the origins that are remembered, in two generations.
	recentOrigins = 1 << 10
)

// idWindows is a bounded window over the message IDs that arrived last, for each
// origin a ring of bits. Links drop their own duplicates by number; this finds a message
// that comes a second time with another number, since it was looked up and sent again. Only
// the inbox's goroutine uses it.
type idWindows struct {
	of     link.Recent[uint64, *idWindow] // by origin
	last   *idWindow                      // the one used last
	origin uint64                         // whose last is
}

// idWindow remembers which of the counts from newest-recentIDs+1 to newest
// have arrived.
type idWindow struct {
	newest uint64
	bits   [recentIDs / 64]uint64
}

func newIDWindows() *idWindows { return new(idWindows) }

func (w *idWindows) has(id MessageID) bool {
	o := w.window(id.Origin)
	return o != nil && o.has(id.Count)
}

// add remembers id.
func (w *idWindows) add(id MessageID) {
	o := w.window(id.Origin)
	if o == nil {
		o = &idWindow{newest: id.Count}
		w.keep(id.Origin, o)
	}
	o.add(id.Count)
}

// window returns an origin's window, if there is one, and makes it the one used last.
func (w *idWindows) window(origin uint64) *idWindow {
	if w.last != nil && w.origin == origin {
		return w.last
	}
	o, ok := w.of.Get(origin)
	if ok {
		w.keep(origin, o)
	}
	return o
}

// keep makes o the one used last.
func (w *idWindows) keep(origin uint64, o *idWindow) {
	w.last, w.origin = o, origin
	w.of.Put(origin, o, recentOrigins/2)
}

func (o *idWindow) has(count uint64) bool {
	return count <= o.newest && o.newest-count < recentIDs && o.bits[count%recentIDs/64]&(1<<(count%64)) != 0
}

// add marks count. One that is older than the window is not remembered.
func (o *idWindow) add(count uint64) {
	switch {
	case count > o.newest:
		o.advance(count)
	case o.newest-count > recentLate:
		*o = idWindow{newest: count}
	case o.newest-count >= recentIDs:
		return
	}
	o.bits[count%recentIDs/64] |= 1 << (count % 64)
}

// advance makes count the newest, and clears the bits of those that the ring held
// in the places between.
func (o *idWindow) advance(count uint64) {
	if count-o.newest >= recentIDs {
		o.bits = [recentIDs / 64]uint64{}
	} else {
		for c := o.newest + 1; c <= count; c++ {
			o.bits[c%recentIDs/64] &^= 1 << (c % 64)
		}
	}
	o.newest = count
}
