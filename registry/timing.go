package registry

import "time"

// Timing holds the durations that follow from the heartbeat interval.
type Timing struct{ Heartbeat time.Duration }

// NodeTTL is the life of a node's lease: three heartbeats, so that two may be
// late or lost before the node counts as dead, and 2 s and one heartbeat if that is
// longer. It must outlive an epoch by the heartbeat that the nodes' last beats may lie
// apart: if Redis, or all nodes, stand still until the leases end, the epoch has ended
// too, and no node is taken for dead.
func (t Timing) NodeTTL() time.Duration { return t.silence() + t.Heartbeat }

// RefreshEvery is the interval in which each lease is refreshed once.
func (t Timing) RefreshEvery() time.Duration { return 15 * t.Heartbeat }

// LeaseTTL is the life of a lease that nobody refreshes: three refresh
// intervals. It collects rubbish; NodeTTL detects failure.
func (t Timing) LeaseTTL() time.Duration { return 3 * t.RefreshEvery() }

// silence is how long a Redis master may go unasked for its epoch before its
// data count as lost. Every beat asks. The floor is for heartbeats below a second, where
// the epoch would end at each pause of a busy machine.
func (t Timing) silence() time.Duration { return max(2*t.Heartbeat, 2*time.Second) }

// operation is how long one round trip in the background may take.
func (t Timing) operation() time.Duration {
	return max(500*time.Millisecond, min(3*time.Second, t.NodeTTL()/2))
}
