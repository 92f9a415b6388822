package simulation

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/router/task"
)

// hostRuntime is the task.Runtime of a host.
type hostRuntime struct{ host *host }

func (r hostRuntime) Now() time.Time { return r.host.now() }
func (r hostRuntime) Rand() uint64   { return r.host.world.chance.Uint64() }
func (r hostRuntime) Go(f func()) {
	if !r.host.dead {
		r.host.world.spawn(r.host, f)
	}
}

func (r hostRuntime) AfterFunc(d time.Duration, f func()) task.Timer {
	t := &timer{host: r.host}
	t.event = r.host.after(d, f)
	return t
}

type timer struct {
	host  *host
	event *event
}

func (t *timer) Reset(d time.Duration) {
	if !t.host.dead {
		t.host.world.set(t.event, d)
	}
}
func (t *timer) Stop() { t.host.world.cancel(t.event) }

func (r hostRuntime) Sleep(ctx context.Context, d time.Duration) error {
	w := r.host.world
	if d <= 0 {
		w.ready(w.current)
		w.block()
		return context.Cause(ctx)
	}
	wake := newSignal(w)
	e := w.after(d, wake.Set)
	defer w.cancel(e)
	return wake.Wait(ctx)
}

func (r hostRuntime) WithCancel(ctx context.Context) (context.Context, context.CancelFunc) {
	c := r.host.world.newContext(ctx)
	return c, func() { c.end(context.Canceled) }
}

func (r hostRuntime) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := r.host.world.newContext(ctx)
	deadline := r.Now().Add(d)
	if before, ok := ctx.Deadline(); !ok || deadline.Before(before) {
		c.deadline = deadline
	}
	if c.err == nil {
		c.timeout = r.host.after(d, func() { c.end(context.DeadlineExceeded) })
	}
	return c, func() { c.end(context.Canceled) }
}

func (r hostRuntime) NewSignal() task.Signal { return newSignal(r.host.world) }

// signal is a task.Signal. Those that wait are served in their order.
type signal struct {
	world   *world
	set     bool
	waiters []*waiter
}

type waiter struct {
	task *coroutine
	done bool
	err  error
}

func newSignal(w *world) *signal { return &signal{world: w} }

func (s *signal) Set() {
	for len(s.waiters) > 0 {
		x := s.waiters[0]
		s.waiters = s.waiters[1:]
		if x.done || x.task.killed {
			continue
		}
		x.done = true
		s.world.ready(x.task)
		return
	}
	s.set = true
}

func (s *signal) Wait(ctx context.Context) error {
	if s.set {
		s.set = false
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x := &waiter{task: s.world.current}
	s.waiters = append(s.waiters, x)
	undo := onEnd(ctx, func() {
		if !x.done {
			x.done, x.err = true, context.Cause(ctx)
			s.world.ready(x.task)
		}
	})
	defer func() { // also if the task is killed
		x.done = true
		undo()
	}()
	s.world.block()
	return x.err
}
