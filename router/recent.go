package router

// recentIDs is how many message IDs a node remembers at the least, to drop
// duplicates; it holds up to twice as many.
const recentIDs = 1 << 15

// recent is a bounded window over the message IDs that arrived last. Links drop
// their own duplicates by number; this catches the same message on two ways:
// looked up again, or published twice by a retried PUBLISH of a baseline. Only
// the inbox's goroutine uses it.
type recent struct{ young, old map[MessageID]struct{} }

func newRecent() *recent {
	return &recent{young: make(map[MessageID]struct{}), old: make(map[MessageID]struct{})}
}

func (w *recent) has(id MessageID) bool {
	if _, ok := w.young[id]; ok {
		return true
	}
	_, ok := w.old[id]
	return ok
}

// add remembers id; when the younger generation is full, the older is forgotten.
func (w *recent) add(id MessageID) {
	if len(w.young) == recentIDs {
		w.young, w.old = w.old, w.young
		clear(w.young)
	}
	w.young[id] = struct{}{}
}
