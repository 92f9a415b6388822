package registry

import (
	"context"
	"errors"
	"sync"
)

// readBarrier lets callers that want a master's epoch at the same time share one reading,
// as etcd's read notifier does. A reading that began before a caller came proves nothing
// to it: it waits for the next.
type readBarrier struct {
	turn chan struct{} // holds a token while a reading is under way

	mu struct {
		sync.Mutex
		next *epochReading // has not begun
	}
}

// epochReading is one reading of an epoch.
type epochReading struct {
	done chan struct{}
	id   string // set before done is closed, as is err
	err  error
}

func newReadBarrier() *readBarrier { return &readBarrier{turn: make(chan struct{}, 1)} }

// join returns the next reading.
func (b *readBarrier) join() *epochReading {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.next == nil {
		b.mu.next = &epochReading{done: make(chan struct{})}
	}
	return b.mu.next
}

// begin lets no caller join reading any more. It returns false if the reading has begun
// already. The caller has the turn.
func (b *readBarrier) begin(reading *epochReading) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.next != reading {
		return false
	}
	b.mu.next = nil
	return true
}

// barrierOf returns the barrier of a master.
func (r *Registry) barrierOf(master string) *readBarrier {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.barriers[master] == nil {
		r.barriers[master] = newReadBarrier()
	}
	return r.barriers[master]
}

// passBarrier returns the epoch that a master was in after the call. It is readEpoch for
// many callers at once: one of them reads, for all that had come before it began.
func (r *Registry) passBarrier(ctx context.Context, master string) (id string, err error) {
	b := r.barrierOf(master)
	for {
		reading := b.join()
		select {
		case b.turn <- struct{}{}:
			if b.begin(reading) {
				reading.id, reading.err = r.readEpoch(ctx, master)
				close(reading.done)
				<-b.turn
				return reading.id, reading.err
			}
			<-b.turn
			<-reading.done
		case <-reading.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		givenUp := errors.Is(reading.err, context.Canceled) || errors.Is(reading.err, context.DeadlineExceeded)
		if !givenUp || ctx.Err() != nil { // by the caller that read: perhaps not by this one
			return reading.id, reading.err
		}
	}
}
