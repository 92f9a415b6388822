package node

import (
	"slices"
	"sync"
)

// graces are the closing sessions in the order in which their time to close is
// over. It is the same for all, so that a queue is enough.
type graces struct {
	mu    sync.Mutex
	queue []grace
}

type grace struct {
	session *session
	began   moment
}

func (g *graces) add(now moment, s *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, grace{s, now})
}

// over ends the graces that are over.
func (g *graces) over(now moment) {
	for _, due := range g.due(now) {
		due.session.graceOver()
	}
}

func (g *graces) due(now moment) []grace {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for n < len(g.queue) && now.since(g.queue[n].began) >= closeGrace {
		n++
	}
	if n == 0 {
		return nil
	}
	due := slices.Clone(g.queue[:n])
	g.queue = slices.Delete(g.queue, 0, n)
	return due
}
