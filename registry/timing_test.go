package registry

import (
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// However short the heartbeat: when a Redis that stood still has ended a node's lease,
// it has ended the epoch as well, also if another node beat last.
func TestEpochEndsBeforeNodeLeases(t *testing.T) {
	t.Parallel()
	for _, heartbeat := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, 2 * time.Second, time.Minute} {
		timing := Timing{Heartbeat: heartbeat}
		if timing.NodeTTL() < timing.silence()+heartbeat || timing.NodeTTL() < 3*heartbeat {
			t.Errorf("heartbeat %v: node leases live %v, epochs %v of silence", heartbeat, timing.NodeTTL(), timing.silence())
		}
	}
}

func TestStandStillMakesNoNodeDead(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	opts := Options{Heartbeat: 300 * time.Millisecond}
	a, b := startNode(t, single(s), "a", opts), startNode(t, single(s), "b", opts)
	eventually(t, func() bool { // the epoch ends with each pause of the machine
		a.beat()
		b.beat()
		settled, err := a.ConfirmAbsent(t.Context(), "alice")
		must(t, err)
		return settled
	}, func() string { return "not settled" })
	a.beat()
	b.beat()
	s.Pause()
	time.Sleep(a.timing.NodeTTL() + opts.Heartbeat) // the stand-still itself, in which b's lease ends
	s.Resume()
	dead, err := a.ConfirmDead(t.Context(), "b")
	must(t, err)
	if dead {
		t.Error("b is taken for dead because Redis stood still")
	}
}
