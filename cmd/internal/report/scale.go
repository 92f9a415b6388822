package report

import (
	"fmt"
	"math"
	"strconv"
)

// Assumptions are what the model can't know and is told.
type Assumptions struct {
	// MessagesPerSecond is what each connected client sends.
	MessagesPerSecond float64
	// RedisShare is the share of a core that a Redis shard may use, 0 to 1. Redis works
	// on one core.
	RedisShare float64
	// KnownOwners is for how many addresses a node remembers the owners. Receivers are
	// taken to be drawn evenly from all clients, so that a message to another node
	// needs a lookup unless its receiver is among them; real traffic, which goes to the
	// same receivers again and again, needs less.
	KnownOwners int
}

// assumed is a message of each client every ten seconds, shards with room to spare, and
// a node's own number of owners.
func assumed() Assumptions {
	return Assumptions{MessagesPerSecond: 0.1, RedisShare: 0.7, KnownOwners: 65536}
}

// Demand is what an arm needs to carry a number of clients.
type Demand struct {
	Arm            Arm
	Nodes, Clients int
	RedisCores     float64 // for messages and refreshes
	OneShard       float64 // the part of RedisCores that only a single shard can do
	Shards         int     // that RedisCores needs; meaningless where OneShard does not fit on one
	BytesIn        float64 // into Redis, per second
	BytesOut       float64 // out of Redis, per second
	NodeCores      float64 // of all nodes together
	// Has tells which of the figures could be computed.
	Has map[Figure]bool
}

// Fits reports whether what a single shard has to do is not more than it can.
func (d *Demand) Fits(a Assumptions) bool { return d.OneShard <= a.RedisShare }

// Demand predicts what an arm needs.
func (m *Model) Demand(arm *ArmModel, nodes, clients int, a Assumptions) Demand {
	rate := float64(clients) * a.MessagesPerSecond
	d := Demand{Arm: arm.Arm, Nodes: nodes, Clients: clients, Has: map[Figure]bool{}}
	unknown := 1 - min(1, float64(a.KnownOwners)/float64(clients))
	perSecond := func(f Figure) float64 {
		u, ok := arm.Units[f]
		d.Has[f] = ok
		return rate * u.cost(arm.Arm, f, traffic{nodes, rate, away(nodes), unknown * away(nodes)})
	}
	messages := perSecond(RedisCPU) / 1e6
	leases := 0.0
	if arm.Arm == Targeted {
		leases = float64(clients)
	}
	d.RedisCores = messages + leases*m.RefreshCPU/1e6
	if arm.Arm == Broadcast { // one channel belongs to one shard
		d.OneShard = messages
	}
	d.Shards = max(1, int(math.Ceil(d.RedisCores/a.RedisShare)))
	d.BytesIn = perSecond(RedisBytesIn) + leases*m.RefreshBytes
	d.BytesOut = perSecond(RedisBytesOut)
	d.NodeCores = perSecond(NodeCPU) / 1e6
	return d
}

// The sizes that are predicted.
func scaleNodes() []int   { return []int{10, 100, 1000} }
func scaleClients() []int { return []int{1_000_000, 100_000_000} }

// demandTable shows what the arms need at the sizes that are predicted.
func (m *Model) demandTable(a Assumptions) table {
	t := table{
		Title: "What it would cost",
		Head:  []string{"clients", "nodes", "arm", "messages/s", "Redis cores", "Redis shards", "into Redis", "out of Redis", "cores of all nodes", "cores a node"},
		Left:  3,
	}
	for _, clients := range scaleClients() {
		for _, nodes := range scaleNodes() {
			for i := range m.Arms {
				d := m.Demand(&m.Arms[i], nodes, clients, a)
				t.Rows = append(t.Rows, d.row(a))
			}
		}
	}
	return t
}

func (d *Demand) row(a Assumptions) []string {
	known := func(f Figure, text string) string {
		if !d.Has[f] {
			return "–"
		}
		return text
	}
	shards := count(float64(d.Shards))
	if !d.Fits(a) {
		shards = fmt.Sprintf("impossible: one shard would have to do %s times what it can", number(d.OneShard/a.RedisShare))
	}
	return []string{
		count(float64(d.Clients)), count(float64(d.Nodes)), string(d.Arm), count(float64(d.Clients) * a.MessagesPerSecond),
		known(RedisCPU, number(d.RedisCores)), known(RedisCPU, shards),
		known(RedisBytesIn, scaled(d.BytesIn, "B/s")), known(RedisBytesOut, scaled(d.BytesOut, "B/s")),
		known(NodeCPU, number(d.NodeCores)), known(NodeCPU, number(d.NodeCores/float64(d.Nodes))),
	}
}

// checkTable shows the model's error where it was tested.
func (m *Model) checkTable() table {
	t := table{
		Title: "The model against a point it has not seen",
		Head:  []string{"arm", "figure, per message", "fitted to nodes", "held out", "predicted", "measured", "error"},
		Left:  3,
	}
	for _, am := range m.Arms {
		for _, c := range am.Checks {
			t.Rows = append(t.Rows, []string{
				string(am.Arm), resourceName(c.Figure), fittedText(am.Fitted), plural(c.Nodes, "node"),
				number(c.Predicted), number(c.Measured), fmt.Sprintf("%+.1f %%", 100*c.Error()),
			})
		}
	}
	return t
}

func fittedText(nodes []int) string {
	var texts []string
	for _, n := range nodes {
		texts = append(texts, strconv.Itoa(n))
	}
	return list(texts)
}

func resourceName(f Figure) string {
	switch f {
	case NodeCPU:
		return "node CPU, µs"
	case RedisCPU:
		return "Redis CPU, µs"
	case RedisBytesIn:
		return "bytes into Redis"
	default:
		return "bytes out of Redis"
	}
}
