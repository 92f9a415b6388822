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
	join := func() (*pendingJoin, error) {
		j := &pendingJoin{address: "bob"}
		_, err := table.addOrClaim(r, j)
		return j, err
	}
	first, err := join()
	if !errors.Is(err, errClaims) {
		t.Fatalf("the first does not claim: %v", err)
	}
	for i, want := range []error{errWaits, ErrTooManySessions} {
		if _, err := join(); !errors.Is(err, want) {
			t.Errorf("while the first joins, session %d gets %v, want %v", i+2, err, want)
		}
	}
	if err := table.welcome(r, first, nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, ErrTooManySessions, ErrTooManySessions} {
		if _, err := join(); !errors.Is(err, want) {
			t.Errorf("session %d gets %v, want %v", i+2, err, want)
		}
	}
}
