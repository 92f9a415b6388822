package report

import (
	"cmp"
	"slices"
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
	Ack    float64 // bytes of an acknowledgement that leaves alone; targeted only. Its CPU is a hop's
	Lookup float64 // each lookup in the registry; targeted only
	Wake   float64 // CPU of waking a node that slept; the same in all arms
	// Assumed says that the run could not tell lookups from hops, so that a lookup is
	// taken to cost as much as a hop, which is too much rather than too little.
	Assumed bool
	// Whole says that no message stayed on its node, so that Grow has Base in it.
	Whole bool
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

// NewModel fits a model to a run. An arm needs three numbers of nodes at least, one
// of them to be held out; arms that have less are not in the model.
func NewModel(run *Run) *Model {
	m := &Model{}
	for _, arm := range arms() {
		m.Arms = append(m.Arms, ArmModel{Arm: arm, Units: map[Figure]Units{}})
	}
	for _, f := range resources() {
		m.fit(run, f)
	}
	m.Arms = slices.DeleteFunc(m.Arms, func(am ArmModel) bool { return len(am.Units) == 0 })
	m.RefreshCPU, m.RefreshBytes, m.HasRefresh = refresh(run)
	return m
}

// fit finds what the arms' parts cost of a resource, and checks it.
func (m *Model) fit(run *Run, f Figure) {
	held := map[Arm]sample{}
	var used []sample
	for i := range m.Arms {
		am := &m.Arms[i]
		all := samples(run, am.Arm, f)
		if len(all) < 3 {
			continue
		}
		last := all[len(all)-1]
		held[am.Arm], used = last, append(used, all[:len(all)-1]...)
		am.LookupsAHop, am.Rate, am.Fitted = lookupsAHop(all), last.rate, nil
		for _, s := range all[:len(all)-1] {
			am.Fitted = append(am.Fitted, s.nodes)
		}
		if am.Arm == Targeted { // more clients mean more owners that are not known yet
			used = append(used, likeNodes(run, am.Arm, f)...)
		}
	}
	units := fit(used, f)
	for i := range m.Arms {
		am := &m.Arms[i]
		u, ok := units[am.Arm]
		if !ok {
			continue
		}
		am.Units[f] = u
		if h := held[am.Arm]; h.cost > 0 {
			am.Checks = append(am.Checks, Check{f, h.nodes, u.cost(am.Arm, f, h.traffic), h.cost})
		}
	}
}

// newSample takes a cell's medians.
func newSample(w Workload, c *cell, cost float64) sample {
	lookups, _ := c.band(LookupsPerMessage)
	left := away(c.load.nodes)
	if w == Nodes {
		left = apart(c.load.nodes)
	}
	return sample{traffic{c.load.nodes, c.load.rate, left, lookups.mid}, c.arm, cost}
}

// refresh returns what a lease's refreshes cost, from targeted's idle connections: the
// other arms keep no leases of addresses.
func refresh(run *Run) (micros, bytes float64, ok bool) {
	idle := &cell{}
	for _, c := range run.cells(Idle) {
		if c.arm == Targeted {
			idle.points = append(idle.points, c.points...)
		}
	}
	b1, ok1 := idle.band(RefreshRedisCPU)
	b2, ok2 := idle.band(RefreshRedisBytesIn)
	return b1.mid, b2.mid, ok1 && ok2
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
