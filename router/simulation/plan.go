package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	NodeKilled     Kind = "node killed"
	NodeFrozen     Kind = "node frozen" // shorter or longer than its lease
	NodeDrained    Kind = "node drained"
	ClockJumped    Kind = "a node's clock jumps"
	LinkCut        Kind = "link to Redis cut"
	LinkSwallowed  Kind = "link to Redis black-holed"
	LinkStalled    Kind = "link to Redis stalled"
	Flushed        Kind = "Redis flushed"
	RedisStopped   Kind = "Redis stopped"
	RedisRestarted Kind = "Redis restarted empty"
	RedisOldData   Kind = "Redis restarted from a snapshot"
	FailedOver     Kind = "failover, asked for"
	MasterKilled   Kind = "failover, master killed, with loss"
	ChannelMoved   Kind = "slot of a private channel migrated"
	AddressesMoved Kind = "slots of addresses migrated"
	BusNoisy       Kind = "bus loses and doubles"
)

// Kinds lists all kinds of faults.
func Kinds() []Kind {
	return []Kind{NodeKilled, NodeFrozen, NodeDrained, ClockJumped, LinkCut, LinkSwallowed, LinkStalled, Flushed,
		RedisStopped, RedisRestarted, RedisOldData, FailedOver, MasterKilled, ChannelMoved, AddressesMoved, BusNoisy}
}

// Fault is something that is done to the cluster.
type Fault struct {
	At   time.Duration
	Kind Kind
	Node int // the place, where it is done to one
	For  time.Duration
}

func (f Fault) String() string {
	return fmt.Sprintf("%v on n%d for %v", f.Kind, f.Node+1, f.For.Round(time.Millisecond))
}

// Plan is what a history is about. Everything else follows from Seed.
type Plan struct {
	Seed       uint64
	Nodes      int
	Clients    int // lines: a client may have several
	Names      int // clients
	Heartbeat  time.Duration
	Deadline   time.Duration
	Grace      time.Duration
	Duplicates registry.Duplicates
	OwnerCache int
	Replica    bool // Redis has one
	Keyed      bool // batches are signed
	Slowest    time.Duration
	Interval   time.Duration // between two things that a client does
	Moves      float64       // the part of them that is going elsewhere
	Confirm    float64       // the part of the messages that are to be confirmed
	Repeat     float64       // the part of what has no receipt that is sent again
	Begin      time.Duration // before which clients do nothing but connect
	Length     time.Duration // until the calm begins
	Faults     []Fault

	sabotage sabotage
}

// sabotage is what nodes do to messages on purpose, so that the judge has something to find.
type sabotage struct{ lose, double, swap, mute bool }

// PlanOf returns the plan of a seed.
func PlanOf(seed uint64) Plan {
	c := rand.New(rand.NewPCG(seed, 0x706c616e))
	p := Plan{
		Seed: seed, Nodes: 2 + c.IntN(4), Heartbeat: pick(c, time.Second, 2*time.Second), Deadline: 5 * time.Second,
		Duplicates: pick(c, registry.Allow, registry.Allow, registry.Replace, registry.Reject),
		OwnerCache: pick(c, 0, 0, 0, -1, 3), Replica: c.IntN(2) == 0, Keyed: c.IntN(4) == 0,
		Slowest: pick(c, time.Millisecond, 20*time.Millisecond, 100*time.Millisecond), Interval: pick(c, 200*time.Millisecond, time.Second),
		Moves: pick(c, 0, 0.05, 0.2, 0.5), Confirm: pick(c, 0, 0.3), Repeat: pick(c, 0, 0.5, 1), Length: between(c, 10*time.Second, 40*time.Second),
	}
	if c.IntN(4) == 0 {
		p.Grace = time.Second
	}
	p.Clients = 3 + c.IntN(10)
	p.Names = p.Clients
	if p.Duplicates == registry.Allow && c.IntN(2) == 0 {
		p.Names = max(2, p.Clients/2)
	}
	kinds := slices.DeleteFunc(Kinds(), func(k Kind) bool {
		return !p.Replica && (k == FailedOver || k == MasterKilled) || c.IntN(2) == 0
	})
	for n := c.IntN(7); n > 0 && len(kinds) > 0; n-- {
		f := Fault{At: between(c, 3*time.Second, p.Length), Kind: kinds[c.IntN(len(kinds))], Node: c.IntN(p.Nodes)}
		f.For = pick(c, between(c, 0, 500*time.Millisecond), between(c, 0, 3*time.Second), between(c, 0, 10*time.Second))
		p.Faults = append(p.Faults, f)
	}
	slices.SortStableFunc(p.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return p
}

func pick[T any](c *rand.Rand, from ...T) T { return from[c.IntN(len(from))] }
