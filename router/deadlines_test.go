package router

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// What is due comes in the order of time, and at one time in the order in which it was
// set, whatever was moved and removed in between.
func TestDeadlinesAreDueInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	start := time.Unix(1_700_000_000, 0)
	var d deadlines
	var set []*deadline // in the order in which they were set last
	all := make([]deadline, 500)
	for range 20_000 {
		x := &all[rng.IntN(len(all))]
		set = slices.DeleteFunc(set, func(y *deadline) bool { return x == y })
		if rng.IntN(4) == 0 {
			d.stop(x)
			continue
		}
		d.set(x, start.Add(time.Duration(rng.IntN(100))))
		set = append(set, x)
	}
	slices.SortStableFunc(set, func(x, y *deadline) int { return x.at.Compare(y.at) })
	for i, want := range set {
		if x := d.takeDue(want.at.Add(-1)); x != nil {
			t.Fatalf("deadline %d is due before its time", i)
		}
		if x := d.takeDue(want.at); x != want {
			t.Fatalf("deadline %d of %d is another one", i, len(set))
		}
		if want.place != 0 {
			t.Fatalf("deadline %d is still set", i)
		}
	}
	if d.first() != nil {
		t.Error("a deadline is left that was not set")
	}
}

func TestDeadlineIsOnlyMovedForward(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	var d deadlines
	x := new(deadline)
	for _, c := range []struct{ by, want time.Duration }{{5, 5}, {7, 5}, {3, 3}} {
		d.setBy(x, start.Add(c.by))
		if got := x.at.Sub(start); got != c.want {
			t.Errorf("to be due by %v it is due at %v, want %v", c.by, got, c.want)
		}
	}
}
