package node

import (
	"slices"
	"sync"
)

// graces are the closing sessions in the order in which their time to close is
// over. It is the same for all, so that a queue is enough.
type graces struct {
	mu    sync.Mutex
	queue []grace // from head on
	head  int
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
	from := g.head
	for g.head < len(g.queue) && now.since(g.queue[g.head].began) >= closeGrace {
		g.head++
	}
	due := slices.Clone(g.queue[from:g.head])
	clear(g.queue[from:g.head])
	switch {
	case g.head == len(g.queue):
		g.queue, g.head = nil, 0
	case g.head > len(g.queue)/2:
		g.queue, g.head = slices.Delete(g.queue, 0, g.head), 0
	}
	return due
}
