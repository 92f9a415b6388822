package report

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Model is what each arm's messages cost at any number of nodes, from what a run
// measured. See the package's comment for its formula.
type Model struct {
	Arms []ArmModel
	// RefreshCPU is the Redis CPU, RefreshBytes what Redis receives, for each lease and
	// second: microseconds and bytes. HasRefresh is false if the run did not measure
	// them; then they are not in any prediction.
	RefreshCPU, RefreshBytes float64
	HasRefresh               bool
}

// ArmModel is an arm's part of a model.
type ArmModel struct {
	Arm Arm
	// Units has the unit costs of NodeCPU, RedisCPU, RedisBytesIn and RedisBytesOut,
	// of those that were measured.
	Units map[Figure]Units
	// Fitted are the numbers of nodes that the units were fitted to.
	Fitted []int
	// Checks compare the prediction for the number of nodes held out with what was
	// measured there.
	Checks []Check
	// LookupsAHop is how many lookups a message that left its node needed, as measured.
	LookupsAHop float64
	Rate        float64 // messages/s that the units were measured at
}

// Units are what a message's parts cost of one resource.
type Units struct {
	Base   float64 // always
	Grow   float64 // targeted, subscribe: a hop to another node; broadcast: each node that throws it away
	Ack    float64 // an acknowledgement that leaves alone; targeted only
	Lookup float64 // each lookup in the registry; targeted only
	// Assumed says that the run could not tell lookups from hops, so that a lookup is
	// taken to cost as much as a hop, which is too much rather than too little.
	Assumed bool
}

// Check is a prediction beside the measured point that took no part in the fit.
type Check struct {
	Figure              Figure
	Nodes               int
	Predicted, Measured float64
}

// Error is by how much the prediction is off, as a share of what was measured.
func (c Check) Error() float64 { return c.Predicted/c.Measured - 1 }

// resources are what the model predicts, per message.
func resources() []Figure { return []Figure{NodeCPU, RedisCPU, RedisBytesIn, RedisBytesOut} }

// sample is a measured cell as the fit sees it.
type sample struct {
	nodes   int
	rate    float64 // messages/s
	away    float64 // share of messages whose receiver is on another node
	lookups float64
	cost    float64
}

// newSample takes a cell's medians.
func newSample(w Workload, c *cell, cost float64) sample {
	lookups, _ := c.band(LookupsPerMessage)
	left := away(c.load.nodes)
	if w == Nodes {
		left = apart(c.load.nodes)
	}
	return sample{c.load.nodes, c.load.rate, left, lookups.mid, cost}
}

// NewModel fits a model to a run. An arm needs three numbers of nodes at least, one
// of them to be held out; arms that have less are not in the model.
func NewModel(run *Run) *Model {
	m := &Model{}
	for _, arm := range arms() {
		if am, ok := newArmModel(run, arm); ok {
			m.Arms = append(m.Arms, am)
		}
	}
	m.RefreshCPU, m.RefreshBytes, m.HasRefresh = refresh(run)
	return m
}

// refresh returns what a lease's refreshes cost, from the idle connections of all
// arms: all keep leases.
func refresh(run *Run) (micros, bytes float64, ok bool) {
	both := &cell{}
	for _, c := range run.cells(Idle) {
		both.points = append(both.points, c.points...)
	}
	b1, ok1 := both.band(RefreshRedisCPU)
	b2, ok2 := both.band(RefreshRedisBytesIn)
	return b1.mid, b2.mid, ok1 && ok2
}

func newArmModel(run *Run, arm Arm) (ArmModel, bool) {
	am := ArmModel{Arm: arm, Units: map[Figure]Units{}}
	for _, f := range resources() {
		all := samples(run, arm, f)
		if len(all) < 3 {
			continue
		}
		held := all[len(all)-1]
		used := all[:len(all)-1]
		am.Fitted = nil
		for _, s := range used {
			am.Fitted = append(am.Fitted, s.nodes)
		}
		am.LookupsAHop, am.Rate = lookupsAHop(all), held.rate
		if arm == Targeted { // more clients mean more owners that are not known yet
			used = append(slices.Clone(used), likeNodes(run, arm, f)...)
		}
		u := fit(arm, used)
		am.Units[f] = u
		if held.cost > 0 {
			am.Checks = append(am.Checks, Check{f, held.nodes, u.cost(arm, held.traffic()), held.cost})
		}
	}
	return am, len(am.Units) > 0
}

// samples returns an arm's medians of the workload Nodes, by the number of nodes.
func samples(run *Run, arm Arm, f Figure) []sample {
	var all []sample
	for _, c := range run.cells(Nodes) {
		if b, ok := c.band(f); ok && c.arm == arm {
			all = append(all, newSample(Nodes, c, b.mid))
		}
	}
	slices.SortStableFunc(all, func(a, b sample) int { return cmp.Compare(a.nodes, b.nodes) })
	return slices.CompactFunc(all, func(a, b sample) bool { return a.nodes == b.nodes })
}

// likeNodes returns the samples of the workload Clients whose load is that of the
// workload Nodes but for the number of clients.
func likeNodes(run *Run, arm Arm, f Figure) []sample {
	nodes := run.cells(Nodes)
	var all []sample
	for _, c := range run.cells(Clients) {
		b, ok := c.band(f)
		_, known := c.band(LookupsPerMessage)
		alike := slices.ContainsFunc(nodes, func(n *cell) bool {
			return n.load.bytes == c.load.bytes && n.load.rate == c.load.rate && n.load.distribution == c.load.distribution
		})
		if ok && known && alike && c.arm == arm {
			all = append(all, newSample(Clients, c, b.mid))
		}
	}
	return all
}

// apart is the share of messages that leave their nodes in the workload Nodes.
func apart(nodes int) float64 { return min(1, float64(nodes-1)) }

// away is the share of messages whose receiver is on another node than its sender,
// where clients are spread evenly.
func away(nodes int) float64 { return float64(nodes-1) / float64(nodes) }

// grows is what a unit's Grow is multiplied by.
func grows(arm Arm, nodes int, away float64) float64 {
	if arm == Broadcast {
		return float64(nodes - 1)
	}
	return away
}

// lookupsAHop is the median over the sizes.
func lookupsAHop(all []sample) float64 {
	var shares []float64
	for _, s := range all {
		if s.away > 0 {
			shares = append(shares, s.lookups/s.away)
		}
	}
	if len(shares) == 0 {
		return 0
	}
	return bandOf(shares).mid
}

// traffic is what the cost of a message depends on.
type traffic struct {
	nodes   int
	rate    float64 // messages/s of all senders
	away    float64 // share that leaves its node
	lookups float64 // per message
}

func (s sample) traffic() traffic { return traffic{s.nodes, s.rate, s.away, s.lookups} }

// ackDelay is how long an acknowledgement that nobody waits for may wait for company,
// in seconds (package router).
const ackDelay = 1.0

// acks is how many acknowledgements a message needs that leave alone: all of them where
// two nodes rarely talk to each other, few where one answers many messages.
func (t traffic) acks() float64 {
	if t.nodes < 2 {
		return 0
	}
	perLink := t.rate * t.away / float64(t.nodes*(t.nodes-1))
	return t.away / (1 + ackDelay*perLink)
}

// terms are what the units are multiplied by: base, grow, ack, lookup.
func (t traffic) terms(arm Arm) [4]float64 {
	return [4]float64{1, grows(arm, t.nodes, t.away), t.acks(), t.lookups}
}

// cost is what a message costs.
func (u Units) cost(arm Arm, t traffic) float64 {
	x := t.terms(arm)
	return u.Base*x[0] + u.Grow*x[1] + u.Ack*x[2] + u.Lookup*x[3]
}

// fit finds the unit costs. A lookup's is among them only where lookups a hop
// differed enough; if it is not, or comes out as nothing, it is assumed.
func fit(arm Arm, all []sample) Units {
	if arm != Targeted {
		c := leastSquares(arm, all, 2)
		return Units{Base: c[0], Grow: c[1]}
	}
	if spread(all) >= 0.1 {
		if c := leastSquares(arm, all, 4); c[3] > 0 {
			return Units{Base: c[0], Grow: c[1], Ack: c[2], Lookup: c[3]}
		}
	}
	c := leastSquares(arm, all, 3)
	return Units{Base: c[0], Grow: c[1], Ack: c[2], Lookup: c[1], Assumed: true}
}

// spread is by how much the lookups a hop differ.
func spread(all []sample) float64 {
	least, most := math.Inf(1), 0.0
	for _, s := range all {
		if s.away > 0 {
			share := s.lookups / s.away
			least, most = min(least, share), max(most, share)
		}
	}
	return most - least
}

// leastSquares returns the coefficients, none of them negative, of the first so many
// terms that make the sum of the squared relative errors least. With four terms at
// most, trying each subset is the plainest way to the best one.
func leastSquares(arm Arm, all []sample, terms int) [4]float64 {
	var best [4]float64
	least := math.Inf(1)
	for subset := 1; subset < 1<<terms; subset++ {
		var columns []int
		for t := range terms {
			if subset&(1<<t) != 0 {
				columns = append(columns, t)
			}
		}
		c, ok := solve(arm, all, columns)
		if !ok {
			continue
		}
		if e := squares(arm, all, c); e < least {
			best, least = c, e
		}
	}
	return best
}

// row is a sample's terms. A sample that costs nothing has no relative error and is
// taken as it is.
func row(arm Arm, s sample) (terms [4]float64, weight float64) {
	weight = 1
	if s.cost > 0 {
		weight = 1 / s.cost
	}
	return s.traffic().terms(arm), weight
}

func squares(arm Arm, all []sample, c [4]float64) float64 {
	sum := 0.0
	for _, s := range all {
		t, weight := row(arm, s)
		e := -s.cost * weight
		for i := range c {
			e += c[i] * t[i] * weight
		}
		sum += e * e
	}
	return sum
}

// solve fits some of the terms; false if they can't be told apart or one of them
// comes out negative.
func solve(arm Arm, all []sample, columns []int) (c [4]float64, ok bool) {
	if len(all) < len(columns) {
		return c, false
	}
	a := mat.NewDense(len(all), len(columns), nil)
	b := mat.NewVecDense(len(all), nil)
	for i, s := range all {
		t, weight := row(arm, s)
		for j, column := range columns {
			a.Set(i, j, t[column]*weight)
		}
		b.SetVec(i, s.cost*weight)
	}
	var x mat.VecDense
	if err := x.SolveVec(a, b); err != nil {
		return c, false
	}
	for j, column := range columns {
		if c[column] = x.AtVec(j); c[column] < 0 {
			return c, false
		}
	}
	return c, true
}
