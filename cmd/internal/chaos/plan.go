//go:build unix

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	KillNode         Kind = "node killed (SIGKILL)"
	StopNode         Kind = "node stopped (SIGSTOP), shorter than its lease"
	FreezeNode       Kind = "node stopped (SIGSTOP), longer than its lease"
	RestartRedis     Kind = "Redis killed, started empty"
	PauseRedis       Kind = "Redis stopped (SIGSTOP)"
	CutLink          Kind = "link to Redis cut: reset and refused"
	SwallowLink      Kind = "link to Redis black-holed"
	StallLink        Kind = "link to Redis stalled"
	SentinelFailover Kind = "Sentinel failover, asked for"
	SentinelKill     Kind = "Sentinel failover, master killed"
	ClusterFailover  Kind = "Cluster failover, asked for"
	ClusterKill      Kind = "Cluster failover, master killed"
	MigrateLease     Kind = "slot migrated: a lease's"
	MigrateChannel   Kind = "slot migrated: a private channel's"
	MoveClient       Kind = "client moved, connection closed"
	DropClient       Kind = "client moved, connection cut"
)

// Kinds lists all kinds in the order in which they are reported.
func Kinds() []Kind {
	return []Kind{
		KillNode, StopNode, FreezeNode, RestartRedis, PauseRedis, CutLink, SwallowLink, StallLink, SentinelFailover,
		SentinelKill, ClusterFailover, ClusterKill, MigrateLease, MigrateChannel, MoveClient, DropClient,
	}
}

// Fault is one entry of a plan.
type Fault struct {
	At     time.Duration // since the start; later if its lane is still busy
	For    time.Duration // how long it lasts, where that is not decided otherwise
	Kind   Kind
	Target int // the node's or person's place in its site; else it picks one of what there is
}

// lane names what a fault has for itself while it lasts.
func (f Fault) lane() string {
	switch f.Kind {
	case KillNode, StopNode, FreezeNode:
		return fmt.Sprintf("node %d", f.Target)
	case CutLink, SwallowLink, StallLink:
		return fmt.Sprintf("link %d", f.Target)
	case MoveClient, DropClient:
		return "people"
	}
	return "redis"
}

// Course is how often a kind of fault happens at a site, and for how long.
type Course struct {
	Kind     Kind
	Every    time.Duration // one in each such span, at a random moment of it
	Min, Max time.Duration // lasts from Min to Max
}

// plan draws the faults of a site for a time. Targets of node faults are below
// nodes, of moves below people.
func plan(random *rand.Rand, courses []Course, length time.Duration, nodes, people int) []Fault {
	var faults []Fault
	for _, c := range courses {
		for begin := time.Duration(0); begin+c.Every <= length; begin += c.Every {
			f := Fault{
				Kind: c.Kind,
				At:   begin + time.Duration(random.Int64N(int64(c.Every))),
				For:  c.Min + time.Duration(random.Int64N(int64(c.Max-c.Min)+1)),
			}
			switch c.Kind {
			case MoveClient, DropClient:
				f.Target = random.IntN(people)
			case KillNode, StopNode, FreezeNode, CutLink, SwallowLink, StallLink:
				f.Target = random.IntN(nodes)
			default:
				f.Target = random.IntN(1 << 16)
			}
			faults = append(faults, f)
		}
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return faults
}

// random is a source for one purpose of a run, the same for the same seed.
func random(seed uint64, purpose string) *rand.Rand {
	var mixed uint64 = 14695981039346656037 // FNV-1a
	for _, b := range []byte(purpose) {
		mixed = (mixed ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, mixed))
}
