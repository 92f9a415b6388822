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
	join := func() (*pendingJoin, joinStep, error) {
		j := &pendingJoin{address: "bob"}
		next, _, err := table.addOrClaim(r, j)
		return j, next, err
	}
	first, next, err := join()
	if next != joinClaims || err != nil {
		t.Fatalf("the first does not claim: %d, %v", next, err)
	}
	if _, next, err := join(); next != joinWaits || err != nil {
		t.Errorf("while the first joins, the second does not wait: %d, %v", next, err)
	}
	if _, _, err := join(); !errors.Is(err, ErrTooManySessions) {
		t.Errorf("while the first joins, the third gets %v, want %v", err, ErrTooManySessions)
	}
	if err := table.welcome(r, first, nil); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, ErrTooManySessions, ErrTooManySessions} {
		if _, _, err := join(); !errors.Is(err, want) {
			t.Errorf("session %d gets %v, want %v", i+2, err, want)
		}
	}
}
