package node

import "sync"

// incoming are the messages of clients of which only a part has come, in the order in
// which they began. All together they hold at most limit bytes: a client that never ends
// its message must not keep others from sending theirs. Beyond the limit those that began
// first go, since a client that sends its messages to their ends has none among them for long,
// however large they are.
type incoming struct {
	limit int // static

	mu          sync.Mutex
	total       int
	first, last *frames
}

// kept is the place of frames in incoming, and guarded by its lock.
type kept struct {
	session    *session // nil: it has no place
	size       int      // of what is kept, in bytes
	prev, next *frames
}

func newIncoming(limit int) incoming { return incoming{limit: limit} }

// set notes that f keeps size bytes of an incomplete message of s, and whether that began
// since the last time; size 0: it keeps none.
func (in *incoming) set(s *session, f *frames, size int, began bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	k := &f.kept
	if k.session != nil && (began || size == 0) {
		in.removeLocked(f)
	}
	if size == 0 || s.isClosing() {
		return
	}
	if k.session == nil {
		in.addLocked(s, f)
	}
	in.total += size - k.size
	k.size = size
}

// excess returns a session that is to be closed since all together keep too much; it does
// not count any more. nil: there is none.
func (in *incoming) excess() *session {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.total <= in.limit {
		return nil
	}
	s := in.first.kept.session
	in.removeLocked(in.first)
	return s
}

func (in *incoming) addLocked(s *session, f *frames) {
	f.kept = kept{session: s, prev: in.last}
	if in.last == nil {
		in.first = f
	} else {
		in.last.kept.next = f
	}
	in.last = f
}

func (in *incoming) removeLocked(f *frames) {
	k := f.kept
	if k.prev == nil {
		in.first = k.next
	} else {
		k.prev.kept.next = k.next
	}
	if k.next == nil {
		in.last = k.prev
	} else {
		k.next.kept.prev = k.prev
	}
	in.total -= k.size
	f.kept = kept{}
}

// keep has the reading side keep what it has of an incomplete message; nil: it has none.
func (s *session) keep(f *frames) {
	in := &s.node.incoming
	switch {
	case f == nil && s.frames == nil:
		return
	case f == nil:
		in.set(s, s.frames, 0, false)
	default:
		in.set(s, f, cap(f.text.bytes), f.text.ended)
		f.text.ended = false
	}
	s.frames = f
	for tooMuch := in.excess(); tooMuch != nil; tooMuch = in.excess() {
		tooMuch.close(closedIncomplete)
	}
}
