package router

import (
	"context"
	"sync"

	"github.com/beeline-ws/beeline/router/task"
)

// run starts a task that Stop awaits. After Stop it does nothing and returns false.
func (r *Router) run(f func(context.Context)) bool {
	return r.tasks.start(func() { f(r.ctx) })
}

// tasks are tasks that are awaited together; none starts after the end.
type tasks struct {
	runtime task.Runtime
	idle    task.Signal // the last one has ended

	mu    sync.Mutex
	ended bool
	count int
}

func newTasks(runtime task.Runtime) *tasks {
	return &tasks{runtime: runtime, idle: runtime.NewSignal()}
}

func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.count++
	t.runtime.Go(func() {
		defer t.done()
		f()
	})
	return true
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count--; t.count == 0 {
		t.idle.Set()
	}
}

// wait has no more tasks start and waits for all that there are.
func (t *tasks) wait() {
	for t.end() > 0 {
		_ = t.idle.Wait(context.Background()) // which does not end
	}
}

// end has no more tasks start, and returns how many there are.
func (t *tasks) end() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return t.count
}
