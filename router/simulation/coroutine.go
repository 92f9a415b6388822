package simulation

import (
	"iter"
	"slices"
)

// coroutine runs tasks, one after the other.
type coroutine struct {
	world *world
	host  *host // whose task it runs; nil: of no host
	task  func()
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	queued bool // it can go on
	killed bool // its task ends when it blocks next
}

// killed is what ends a task of a host that was killed: it unwinds its stack.
type killed struct{}

// spawn starts a task of host; nil: of none.
func (w *world) spawn(host *host, task func()) *coroutine {
	var c *coroutine
	if n := len(w.idle); n > 0 {
		c, w.idle = w.idle[n-1], w.idle[:n-1]
	} else {
		c = &coroutine{world: w}
		c.next, c.stop = iter.Pull(c.loop)
		w.all = append(w.all, c)
	}
	c.host, c.task, c.killed = host, task, false
	w.ready(c)
	return c
}

// loop runs one task after the other, until it is stopped.
func (c *coroutine) loop(yield func(struct{}) bool) {
	c.yield = yield
	for {
		c.perform()
		if !yield(struct{}{}) {
			return
		}
	}
}

func (c *coroutine) perform() {
	defer func() {
		if x := recover(); x != nil {
			if _, ok := x.(killed); !ok {
				panic(x)
			}
		}
		c.task = nil
	}()
	if !c.killed { // before it began
		c.task()
	}
}

// ready has c go on, when its host runs.
func (w *world) ready(c *coroutine) {
	if c.queued || c.killed {
		return
	}
	c.queued = true
	if c.host != nil && c.host.frozen {
		c.host.held = append(c.host.held, func() { w.runnable = append(w.runnable, c) })
		return
	}
	w.runnable = append(w.runnable, c)
}

// resume lets c run until it blocks or its task has ended.
func (w *world) resume(c *coroutine) {
	before := w.current
	w.current, c.queued = c, false
	w.steps++
	c.next()
	w.current = before
	if c.task != nil {
		return
	}
	c.host = nil
	w.idle = append(w.idle, c)
}

// block lets others run until the task that calls it is ready again.
func (w *world) block() {
	c := w.current
	if c == nil {
		panic("an event has blocked")
	}
	if !c.killed {
		w.pass(c)
	}
	if c.killed {
		panic(killed{})
	}
}

// pass lets others run; it is false when the world has ended.
func (w *world) pass(c *coroutine) {
	w.current = nil
	if !c.yield(struct{}{}) {
		c.killed = true
	}
	w.current = c
}

// preempt lets others run for a moment, if a task calls it.
func (w *world) preempt() {
	if c := w.current; c != nil && !c.killed {
		w.ready(c)
		w.pass(c)
	}
}

// end unwinds all tasks.
func (w *world) end() {
	for _, e := range w.events {
		e.index = -1
	}
	w.runnable, w.events = nil, nil
	for _, c := range w.all {
		w.current = c
		c.stop()
	}
	w.current = nil
}

// kill ends all tasks of a host.
func (w *world) kill(host *host) {
	var its []*coroutine
	for _, c := range w.all {
		if c.host == host && c.task != nil {
			c.killed, c.queued = true, false
			its = append(its, c)
		}
	}
	w.runnable = slices.DeleteFunc(w.runnable, func(c *coroutine) bool { return c.host == host })
	for _, c := range its {
		w.resume(c)
	}
}
