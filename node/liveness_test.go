package node

import (
	"math"
	"testing"
	"time"
)

func TestMomentsWrap(t *testing.T) {
	for _, row := range []struct {
		m, earlier moment
		want       time.Duration
	}{
		{5, 5, 0}, {7, 5, 2 * time.Millisecond}, {5, 7, 0},
		{3, math.MaxUint32, 4 * time.Millisecond}, {math.MaxUint32, 3, 0},
	} {
		if got := row.m.since(row.earlier); got != row.want {
			t.Errorf("%d is %v after %d, want %v", row.m, got, row.earlier, row.want)
		}
	}
}

func TestPartsOfTheTable(t *testing.T) {
	for _, sessions := range []int{0, 1, 6, 7, 100} {
		var all table
		for range sessions {
			all.add(new(session))
		}
		met := map[*session]int{}
		const steps = 7
		for i := range steps {
			for _, s := range all.part(nil, i, steps) {
				met[s]++
			}
		}
		for _, s := range all.snapshot(nil) {
			if met[s] != 1 {
				t.Errorf("of %d, one was met %d times", sessions, met[s])
			}
		}
	}
}

// Who is last takes the place of one that leaves. It was met before.
func TestPartsWhileSomeLeave(t *testing.T) {
	var all table
	for range 100 {
		all.add(new(session))
	}
	last := all.list[99]
	met := 0
	for i := range 10 {
		for _, s := range all.part(nil, i, 10) {
			if s == last {
				met++
			}
		}
		all.remove(all.list[i])
	}
	if met == 0 {
		t.Error("the last one was not met")
	}
}

func TestTrimBehindAStorm(t *testing.T) {
	var trim trimmer
	now := moment(0)
	look := func(sessions int) bool {
		now += moment(trimAfter / time.Millisecond)
		return trim.due(now, sessions)
	}
	for i, row := range []struct {
		sessions int
		want     bool
	}{
		{50, false}, {5000, false}, {9990, false}, {10000, true}, {10000, false}, {10900, false},
		{12000, false}, {12000, true}, {9000, false}, {9000, true}, {0, false}, {0, true}, {0, false},
	} {
		if got := look(row.sessions); got != row.want {
			t.Errorf("look %d at %d sessions: trims %v, want %v", i, row.sessions, got, row.want)
		}
	}
}
