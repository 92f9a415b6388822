package router

import (
	"context"
	"sync"
)

// run starts a goroutine that Stop awaits. After Stop it does nothing and returns
// false.
func (r *Router) run(f func(context.Context)) bool {
	return r.tasks.start(func() { f(r.ctx) })
}

// tasks are goroutines that are awaited together; none starts after the end.
type tasks struct {
	mu    sync.Mutex
	ended bool
	group sync.WaitGroup
}

func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		t.group.Go(f)
	}
	return !t.ended
}

func (t *tasks) wait() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.group.Wait()
}
