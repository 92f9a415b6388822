package standstill

import (
	"sync"
	"time"
)

const (
	tick = 50 * time.Millisecond
	// late is by how much a tick may be late until the machine counts as having stood
	// still. Nodes miss heartbeats' probes after two seconds, and messages their deadline
	// after five.
	late = 500 * time.Millisecond
)

// Watch is a goroutine that looks at the time again and again. Any goroutine may call its
// methods.
type Watch struct {
	stop  chan struct{}
	ended sync.WaitGroup

	mu    sync.Mutex
	seen  time.Time // the last look
	still time.Time // when the machine stood still last; zero: it never did
}

// Start starts a watch, which goes on until Stop.
func Start() *Watch {
	w := &Watch{stop: make(chan struct{}), seen: time.Now()}
	w.ended.Go(w.run)
	return w
}

func (w *Watch) run() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			w.look()
		case <-w.stop:
			return
		}
	}
}

// look notes whether the machine has stood still since the last look.
func (w *Watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.seen) > tick+late {
		w.still = now
	}
	w.seen = now
}

// Since reports whether the machine stood still at some moment since then.
func (w *Watch) Since(then time.Time) bool {
	w.look()
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.still.IsZero() && !w.still.Before(then)
}

// Stop ends the watch.
func (w *Watch) Stop() {
	close(w.stop)
	w.ended.Wait()
}
