package simulation

import (
	"context"
	"time"
)

// simContext is a context of a world. Package context's would call what waits for them from
// goroutines of their own.
type simContext struct {
	context.Context // its parent, for Value
	world           *world
	deadline        time.Time // zero: its parent's
	timeout         *event
	undo            func() // of waiting for its parent
	done            chan struct{}
	err             error
	hooks           []*hook
	undone          int // of hooks
}

// hook is what is to be called when a context ends; nil: nothing any more.
type hook struct{ do func() }

// newContext returns a context that ends with parent, if that is one of a world; others
// are taken for such that do not end.
func (w *world) newContext(parent context.Context) *simContext {
	c := &simContext{Context: parent, world: w, done: make(chan struct{}), undo: func() {}}
	if parent.Err() != nil {
		c.end(parent.Err())
		return c
	}
	c.undo = onEnd(parent, func() { c.end(parent.Err()) })
	return c
}

// nearestKey finds the nearest context of a world among a context's ancestors.
type nearestKey struct{}

func nearest(ctx context.Context) *simContext {
	c, _ := ctx.Value(nearestKey{}).(*simContext)
	return c
}

func (c *simContext) Value(key any) any {
	if _, ok := key.(nearestKey); ok {
		return c
	}
	return c.Context.Value(key)
}

func (c *simContext) Deadline() (time.Time, bool) {
	if c.deadline.IsZero() {
		return c.Context.Deadline()
	}
	return c.deadline, true
}

func (c *simContext) Done() <-chan struct{} { return c.done }
func (c *simContext) Err() error            { return c.err }

func (c *simContext) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	c.undo()
	if c.timeout != nil {
		c.world.cancel(c.timeout)
	}
	hooks := c.hooks
	c.hooks = nil
	for _, h := range hooks {
		if h.do != nil {
			h.do()
		}
	}
}

// onEnd has do called when ctx ends. The result undoes that.
func onEnd(ctx context.Context, do func()) (undo func()) {
	c := nearest(ctx)
	if c == nil {
		return func() {}
	}
	h := &hook{do}
	c.hooks = append(c.hooks, h)
	return func() {
		if h.do == nil {
			return
		}
		h.do = nil
		if n := len(c.hooks); n > 0 && c.hooks[n-1] == h {
			c.hooks = c.hooks[:n-1]
			return
		}
		if c.undone++; c.undone > 16 && c.undone > len(c.hooks)/2 {
			c.tidy()
		}
	}
}

// tidy forgets the hooks that were undone.
func (c *simContext) tidy() {
	kept := c.hooks[:0]
	for _, h := range c.hooks {
		if h.do != nil {
			kept = append(kept, h)
		}
	}
	clear(c.hooks[len(kept):])
	c.hooks, c.undone = kept, 0
}
