package router

import (
	"sync"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/router/task"
)

// steppedClock is the time of a node whose test says when it passes, so a machine that
// stands still does not make it pass. Tasks and waits are real ones.
type steppedClock struct {
	task.Real

	mu     sync.Mutex
	now    time.Time
	timers map[*steppedTimer]struct{} // that are set
}

func newSteppedClock() *steppedClock {
	return &steppedClock{now: time.Now(), timers: make(map[*steppedTimer]struct{})}
}

// steppedTimer is a timer of a steppedClock.
type steppedTimer struct {
	clock *steppedClock
	at    time.Time
	f     func()
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *steppedClock) AfterFunc(d time.Duration, f func()) task.Timer {
	t := &steppedTimer{clock: c, f: f}
	t.Reset(d)
	return t
}

func (t *steppedTimer) Reset(d time.Duration) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.at = t.clock.now.Add(d)
	t.clock.timers[t] = struct{}{}
}

func (t *steppedTimer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	delete(t.clock.timers, t)
}

// set makes it that time, and what is due then begin.
func (c *steppedClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	for t := range c.timers {
		if !t.at.After(now) {
			delete(c.timers, t)
			go t.f()
		}
	}
}

// set lets a node's time pass while nobody reads it to set a timer.
func (n *testNode) setClock(c *steppedClock, now time.Time) {
	n.shards.lockAll()
	defer n.shards.unlockAll()
	n.timers.mu.Lock()
	defer n.timers.mu.Unlock()
	c.set(now)
}

func TestSteppedClockCallsWhatIsDue(t *testing.T) {
	c := newSteppedClock()
	called := make(chan string, 2)
	first := c.AfterFunc(time.Second, func() { called <- "first" })
	c.AfterFunc(2*time.Second, func() { called <- "second" })
	first.Stop()
	c.set(c.Now().Add(2 * time.Second))
	if got := <-called; got != "second" || len(c.timers) != 0 {
		t.Errorf("%s was called, %d timers are left", got, len(c.timers))
	}
}
