package node

import "sync"

// incoming are the messages of clients of which only a part has come, by how much of
// them is kept. All together they hold at most limit bytes: a client that never ends its
// message must not keep others from sending theirs.
type incoming struct {
	limit int // static

	mu      sync.Mutex
	total   int
	sizes   map[*session]int
	largest backlogs
}

func newIncoming(limit int) incoming { return incoming{limit: limit, sizes: map[*session]int{}} }

// set notes that size bytes of an incomplete message of s are kept; 0: it has none. If
// all together are too many, it returns the session that has the most, which is to be
// closed and does not count any more.
func (in *incoming) set(s *session, size int) (tooMuch *session) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !s.closing.Load() || size == 0 {
		in.put(s, size)
	}
	if in.total <= in.limit {
		return nil
	}
	tooMuch, _ = in.largest.largest()
	in.put(tooMuch, 0)
	return tooMuch
}

func (in *incoming) put(s *session, size int) {
	old := in.sizes[s]
	in.total += size - old
	in.largest.move(s, rankOf(old), rankOf(size))
	if size == 0 {
		delete(in.sizes, s)
		return
	}
	in.sizes[s] = size
}

// keep has the reading side keep what it has of an incomplete message; nil: it has none.
func (s *session) keep(f *frames) {
	if f == nil && s.frames == nil {
		return
	}
	size := 0
	if f != nil {
		size = cap(f.text.bytes)
	}
	s.frames = f
	if tooMuch := s.node.incoming.set(s, size); tooMuch != nil {
		tooMuch.close(closedIncomplete)
	}
}
