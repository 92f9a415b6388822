package router

import (
	"context"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/router/task"
)

// timers does what is due at its time: what waits for long costs nothing meanwhile, and
// nothing runs while nothing is due. Its lock may be taken while any other is held.
type timers struct {
	runtime task.Runtime
	some    task.Signal // something is due
	alarm   task.Timer  // sets it

	mu struct {
		sync.Mutex
		deadlines deadlines
		at        time.Time // when the alarm rings; zero: nothing waits
	}
}

func newTimers(runtime task.Runtime) *timers {
	t := &timers{runtime: runtime, some: runtime.NewSignal()}
	t.alarm = runtime.AfterFunc(time.Hour, t.some.Set)
	return t
}

// setBy has x.due called at a time at the latest, without a lock.
func (t *timers) setBy(x *deadline, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.deadlines.setBy(x, at)
	t.ringByLocked(at)
}

// stop has x.due not be called, unless it is being called.
func (t *timers) stop(x *deadline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.deadlines.stop(x)
}

func (t *timers) ringByLocked(at time.Time) {
	if t.mu.at.IsZero() || at.Before(t.mu.at) {
		t.mu.at = at
		t.alarm.Reset(at.Sub(t.runtime.Now()))
	}
}

// run does what is due until ctx ends, and calls after each time.
func (t *timers) run(ctx context.Context, after func()) {
	for t.some.Wait(ctx) == nil {
		now := t.runtime.Now()
		for _, x := range t.takeDue(now) {
			x.due(now)
		}
		after()
	}
}

func (t *timers) takeDue(now time.Time) (due []*deadline) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.at = time.Time{}
	for x := t.mu.deadlines.takeDue(now); x != nil; x = t.mu.deadlines.takeDue(now) {
		due = append(due, x)
	}
	if x := t.mu.deadlines.first(); x != nil {
		t.ringByLocked(x.at)
	}
	return due
}
