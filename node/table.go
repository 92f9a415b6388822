package node

import (
	"slices"
	"sync"
)

// table holds a node's sessions, those that are about to be welcomed included.
type table struct {
	limit int // 0: none

	mu    sync.Mutex
	list  []*session
	empty chan struct{} // closed when the last one leaves, if somebody waits
}

// add returns false if the table is full.
func (t *table) add(s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limit > 0 && len(t.list) >= t.limit {
		return false
	}
	s.index = int32(len(t.list))
	t.list = append(t.list, s)
	return true
}

// remove takes s out, unless it is out already.
func (t *table) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := len(t.list) - 1
	if int(s.index) > last || t.list[s.index] != s {
		return
	}
	t.list[s.index] = t.list[last]
	t.list[s.index].index = s.index
	t.list[last] = nil
	t.list = t.list[:last]
	if last == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// find returns the session of that ID, or nil. It looks at all.
func (t *table) find(id sessionID) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.list, func(s *session) bool { return s.id == id }); i >= 0 {
		return t.list[i]
	}
	return nil
}

// snapshot appends all sessions to b.
func (t *table) snapshot(b []*session) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(slices.Grow(b, len(t.list)), t.list...)
}

// full reports whether add would fail.
func (t *table) full() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limit > 0 && len(t.list) >= t.limit
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.list)
}

// part appends a part of all sessions to b: one of as many equal ones, counted
// from the end of the list. The place of a session that leaves is taken by the
// last one, so that a walk through the parts upwards misses few sessions, until the next walk.
func (t *table) part(b []*session, one, of int) []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.list)
	return append(b, t.list[n-n*(one+1)/of:n-n*one/of]...)
}

// emptied returns a channel that is closed once the table is empty.
func (t *table) emptied() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	ch := t.empty
	if len(t.list) == 0 {
		close(ch)
		t.empty = nil
	}
	return ch
}
