package node

import "sync"

// group awaits goroutines as sync.WaitGroup does, but more may be started while it
// is awaited, also the first. The zero group is ready.
type group struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when none runs; nil: nobody waits
}

// begin counts what is not a goroutine, until done.
func (g *group) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running++
}

func (g *group) Go(f func()) {
	g.begin()
	go func() {
		defer g.done()
		f()
	}()
}

func (g *group) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// Wait returns once none has run for a moment.
func (g *group) Wait() {
	g.mu.Lock()
	if g.running == 0 {
		g.mu.Unlock()
		return
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	<-idle
}
