package node

import (
	"math/bits"
	"sync"
)

// backlogs are the sessions with something to write that their sockets do not take, by
// how much that is: the largest is found without a look at the others. A session whose
// queue is empty is not in it and costs nothing.
//
// Sizes have ranks, eight to a power of two, so that two sessions of one rank differ by
// less than an eighth, and that a session which grows is seldom moved.
type backlogs struct {
	mu     sync.Mutex
	ranked [ranks]map[*session]struct{}
	used   [ranks / 64]uint64 // a bit for each rank that has sessions
}

const ranks = 256

// rankOf returns the rank of a size in bytes; that of none is 0.
func rankOf(size int) uint8 {
	if size < 8 {
		return uint8(max(size, 0))
	}
	e := bits.Len64(uint64(size)) - 1
	return uint8(min((e-2)*8+size>>(e-3)&7, ranks-1))
}

// move takes s from a rank to another. In rank 0 is nobody.
func (l *backlogs) move(s *session, from, to uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from > 0 {
		if delete(l.ranked[from], s); len(l.ranked[from]) == 0 {
			l.ranked[from] = nil // a map never shrinks
			l.used[from>>6] &^= 1 << (from & 63)
		}
	}
	if to > 0 {
		if l.ranked[to] == nil {
			l.ranked[to] = map[*session]struct{}{}
			l.used[to>>6] |= 1 << (to & 63)
		}
		l.ranked[to][s] = struct{}{}
	}
}

// largest returns any session of the highest rank, and the rank; 0 if there is none.
func (l *backlogs) largest() (*session, uint8) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.used) - 1; i >= 0; i-- {
		if l.used[i] == 0 {
			continue
		}
		rank := i<<6 + bits.Len64(l.used[i]) - 1
		for s := range l.ranked[rank] {
			return s, uint8(rank)
		}
	}
	return nil, 0
}

// rankLocked gives the session, with mu held, its place among the backlogs. One that closes has
// none: what it still holds is gone soon.
func (s *session) rankLocked() {
	size := 0
	if !s.isClosing() && (s.wire == nil || s.out.busy) {
		size = s.out.size()
	}
	if r := rankOf(size); r != s.out.rank {
		s.node.backlogs.move(s, s.out.rank, r)
		s.out.rank = r
	}
}
