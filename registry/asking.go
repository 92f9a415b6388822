package registry

import (
	"context"
	"errors"
	"sync"
)

// asking lets those who ask for a master's epoch at the same time share the
// answer. An answer that was asked for before somebody came proves nothing to
// them: they wait for the next.
type asking struct {
	turn chan struct{} // holds a token while somebody asks

	mu   sync.Mutex
	next *question // not asked yet
}

// question is one reading of an epoch.
type question struct {
	answered chan struct{}
	id       string // set before answered is closed, as is err
	err      error
}

func newAsking() *asking { return &asking{turn: make(chan struct{}, 1)} }

// join returns the next question.
func (a *asking) join() *question {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = &question{answered: make(chan struct{})}
	}
	return a.next
}

// begin lets nobody join q any more; it is false if q was asked already. The
// caller has the turn.
func (a *asking) begin(q *question) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next != q {
		return false
	}
	a.next = nil
	return true
}

// askingOf returns who asks a master.
func (r *Registry) askingOf(master string) *asking {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.askings[master] == nil {
		r.askings[master] = newAsking()
	}
	return r.askings[master]
}

// ask is lookAt for many at once.
func (r *Registry) ask(ctx context.Context, master string) (id string, err error) {
	a := r.askingOf(master)
	for {
		q := a.join()
		select {
		case a.turn <- struct{}{}:
			if a.begin(q) {
				q.id, q.err = r.lookAt(ctx, master)
				close(q.answered)
				<-a.turn
				return q.id, q.err
			}
			<-a.turn
			<-q.answered
		case <-q.answered:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		givenUp := errors.Is(q.err, context.Canceled) || errors.Is(q.err, context.DeadlineExceeded)
		if !givenUp || ctx.Err() != nil { // by who asked: perhaps not by this one
			return q.id, q.err
		}
	}
}
