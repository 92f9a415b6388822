package node

import (
	"testing"
	"time"
)

func TestGraces(t *testing.T) {
	const all = 10
	var g graces
	sessions := make([]*session, all)
	for i := range sessions {
		sessions[i] = new(session)
		g.add(moment(i), sessions[i])
	}
	for i := range sessions {
		due := g.due(moment(i) + moment(closeGrace/time.Millisecond))
		if len(due) != 1 || due[0].session != sessions[i] {
			t.Errorf("%d are due at %d", len(due), i)
		}
		if i == all/2 && len(g.queue) != all-all/2-1 {
			t.Errorf("%d places are held for %d", len(g.queue), all-all/2-1)
		}
	}
	if g.queue != nil || g.head != 0 {
		t.Errorf("%d places are held for none", len(g.queue))
	}
}
