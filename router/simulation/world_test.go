package simulation

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A task that waits goes on at the time that it waits for, and what was set for one time
// happens in that order.
func TestTasksGoOnInTheirTime(t *testing.T) {
	w := newWorld(1)
	defer w.end()
	h := &host{world: w}
	h.runtime = hostRuntime{h}
	var order []string
	for _, name := range []string{"a", "b"} {
		w.after(time.Second, func() { order = append(order, name) })
	}
	h.start(func() {
		_ = h.runtime.Sleep(context.Background(), 500*time.Millisecond)
		order = append(order, "task")
	})
	w.run(2 * time.Second)
	if got := len(order); got != 3 || order[0] != "task" || order[1] != "a" || order[2] != "b" {
		t.Errorf("what happened: %v, want the task, a, b", order)
	}
	if w.now != 2*time.Second {
		t.Errorf("it is %v, want 2s", w.now)
	}
}

// A context of the simulation ends what waits in it and what came of it, at its time.
func TestContextsEndWhatWaits(t *testing.T) {
	w := newWorld(1)
	defer w.end()
	h := &host{world: w}
	h.runtime = hostRuntime{h}
	var failed error
	var at time.Duration
	h.start(func() {
		outer, cancel := h.runtime.WithTimeout(context.Background(), time.Second)
		defer cancel()
		inner, cancelInner := h.runtime.WithTimeout(outer, time.Hour)
		defer cancelInner()
		failed = h.runtime.NewSignal().Wait(inner)
		at = w.now
	})
	w.run(time.Minute)
	if !errors.Is(failed, context.DeadlineExceeded) || at != time.Second {
		t.Errorf("the wait ended with %v after %v, want the deadline after 1s", failed, at)
	}
}

// A frozen host does nothing while time passes; a killed one ends, and what it waits for does
// not wake it.
func TestFrozenAndKilledHostsStandStill(t *testing.T) {
	w := newWorld(1)
	defer w.end()
	h := &host{world: w}
	h.runtime = hostRuntime{h}
	var turns []time.Duration
	unwound := false
	h.start(func() {
		defer func() { unwound = true }()
		for {
			_ = h.runtime.Sleep(context.Background(), time.Second)
			turns = append(turns, w.now)
		}
	})
	w.run(1500 * time.Millisecond)
	h.freeze()
	w.run(10 * time.Second)
	h.thaw()
	w.run(11500 * time.Millisecond)
	want := []time.Duration{time.Second, 10 * time.Second, 11 * time.Second}
	if len(turns) != 3 || turns[0] != want[0] || turns[1] != want[1] || turns[2] != want[2] {
		t.Errorf("the host ran at %v, want %v", turns, want)
	}
	h.kill()
	if !unwound {
		t.Error("a killed host's task has not ended")
	}
	w.run(time.Minute)
	if len(turns) != 3 {
		t.Error("a killed host goes on")
	}
}
