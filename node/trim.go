package node

import (
	"runtime/debug"
	"time"
)

// A storm of connects or closes leaves garbage behind, and a heap that the
// runtime would keep until it is needed again: for an idle node, for good. When the
// number of sessions has changed much since the last time, and rests, one
// collection, for which only the sweep waits, gives it back.
const (
	trimAfter = 2 * time.Second // between two looks at the number
	trimStorm = 1000            // sessions more or less, at least; a tenth is rest
)

// trimmer says when. It is owned by the sweep.
type trimmer struct {
	trimmed int // sessions when memory was given back last
	before  int // sessions at the last look
	looked  moment
}

// look trims if the number of sessions has changed much, and rests.
func (t *trimmer) look(now moment, sessions int) {
	if t.due(now, sessions) {
		debug.FreeOSMemory()
	}
}

func (t *trimmer) due(now moment, sessions int) bool {
	if now.since(t.looked) < trimAfter {
		return false
	}
	calm := distance(sessions, t.before) < trimStorm/10
	t.looked, t.before = now, sessions
	if !calm || distance(sessions, t.trimmed) < max(trimStorm, t.trimmed/8) {
		return false
	}
	t.trimmed = sessions
	return true
}

func distance(a, b int) int { return max(a-b, b-a) }
