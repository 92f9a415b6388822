package simulation

import (
	"testing"
	"time"
)

// A host whose wall clock jumps has what package time would give it: the wall clock says
// the new time, and what has passed is what the monotonic clock says.
func TestClockJumpsAsARealOne(t *testing.T) {
	h := &host{world: newWorld(1)}
	h.world.now = 1234567 * time.Microsecond
	before := h.now()
	if !before.Equal(start.Add(h.world.now)) || before.UnixMicro() != start.Add(h.world.now).UnixMicro() {
		t.Errorf("the clock says %v, want %v", before, start.Add(h.world.now))
	}
	h.world.now += time.Second
	h.clock = -time.Hour
	after := h.now()
	if d := after.Sub(before); d != time.Second {
		t.Errorf("%v have passed, want 1s", d)
	}
	if d := after.Round(0).Sub(before.Round(0)); d != time.Second-time.Hour {
		t.Errorf("the wall clock has moved by %v, want %v", d, time.Second-time.Hour)
	}
	if d := after.Add(time.Minute).Sub(before); d != time.Second+time.Minute {
		t.Errorf("a minute later %v have passed", d)
	}
	if !before.Before(after) {
		t.Error("time runs backwards")
	}
}
