package router

import (
	"errors"
	"testing"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

// Sessions that wait for the first one of their client count as well.
func TestSessionsOfAnAddressAreBounded(t *testing.T) {
	r, table := &Router{opts: Options{MaxClientSessions: 2, DuplicatesOf: func(string) registry.Duplicates { return registry.Allow }}, runtime: task.Real{}}, newLocalAddresses("n1", new(generation))
	join := func() (*localAddress, error) {
		h, _, err := table.addOrClaim(r, "bob", &pendingJoin{})
		return h, err
	}
	h, err := join()
	if h == nil || err != nil {
		t.Fatalf("the first claims: %v, %v", h, err)
	}
	for i, want := range []error{errWaits, ErrTooManySessions} {
		if _, err := join(); !errors.Is(err, want) {
			t.Errorf("while the first joins, session %d gets %v, want %v", i+2, err, want)
		}
	}
	if err := table.welcome(r, "bob", h, h.join, nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, ErrTooManySessions, ErrTooManySessions} {
		if _, err := join(); !errors.Is(err, want) {
			t.Errorf("session %d gets %v, want %v", i+2, err, want)
		}
	}
}
