package report

import (
	"cmp"
	"math"
	"slices"
)

// cpu is the CPU of nodes and Redis together, microseconds per message. It is
// computed, not recorded.
const cpu Figure = "cpu_us"

// value returns a figure, and whether it was measured and may be shown.
func (p *Point) value(f Figure) (float64, bool) {
	if f == cpu {
		nodes, ok1 := p.value(NodeCPU)
		redis, ok2 := p.value(RedisCPU)
		return nodes + redis, ok1 && ok2
	}
	if p.Late != "" && f.isLatency() {
		return 0, false
	}
	return p.measured(f)
}

// measured returns a figure as it was measured, for programs: marks are beside it.
func (p *Point) measured(f Figure) (float64, bool) {
	v, ok := p.Figures[f]
	return v, ok && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// isLatency reports whether a late generator spoils the figure.
func (f Figure) isLatency() bool {
	return slices.Contains([]Figure{LatencyP50, LatencyP90, LatencyP99, LatencyP999, LatencyMax}, f)
}

// good reports whether a point's figures may be shown as such.
func (p *Point) good() bool { return len(p.Marks) == 0 && len(p.Faults) == 0 }

// load is what a point was measured under, without the arm: what is compared.
type load struct {
	nodes, clients, bytes int
	rate, offline         float64
	distribution          string
}

func (p *Point) load() load {
	return load{p.Nodes, p.Clients, p.MessageBytes, p.RatePerSecond, p.OfflineShare, p.Distribution}
}

func (l load) compare(m load) int {
	return cmp.Or(
		cmp.Compare(l.nodes, m.nodes), cmp.Compare(l.clients, m.clients), cmp.Compare(l.bytes, m.bytes),
		cmp.Compare(l.rate, m.rate), cmp.Compare(l.offline, m.offline), cmp.Compare(l.distribution, m.distribution),
	)
}

// band is a median with the least and the greatest value.
type band struct{ low, mid, high float64 }

// bandOf returns the band of values, of which there must be one at least.
func bandOf(values []float64) band {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return band{s[0], (s[(n-1)/2] + s[n/2]) / 2, s[n-1]}
}

// cell is an arm's repetitions under one load.
type cell struct {
	load   load
	arm    Arm
	points []*Point
}

// band returns a figure's band over the repetitions that are good.
func (c *cell) band(f Figure) (band, bool) {
	var values []float64
	for _, p := range c.points {
		if v, ok := p.value(f); ok && p.good() {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return band{}, false
	}
	return bandOf(values), true
}

// bad counts the repetitions that are not good.
func (c *cell) bad() int {
	n := 0
	for _, p := range c.points {
		if !p.good() {
			n++
		}
	}
	return n
}

// arms returns all arms, in the order in which they are shown.
func arms() []Arm { return []Arm{Targeted, Broadcast, Subscribe} }

// workloads returns all workloads, in the order in which they are shown.
func workloads() []Workload {
	return []Workload{Nodes, Rate, Saturation, Clients, Size, Offline, Idle, Storm, Churn, Kill}
}

// cells groups a workload's points, by load and then by arm.
func (r *Run) cells(w Workload) []*cell {
	type key struct {
		load load
		arm  Arm
	}
	byKey := map[key]*cell{}
	var all []*cell
	for i := range r.Points {
		p := &r.Points[i]
		if p.Workload != w {
			continue
		}
		k := key{p.load(), p.Arm}
		if byKey[k] == nil {
			byKey[k] = &cell{load: k.load, arm: k.arm}
			all = append(all, byKey[k])
		}
		byKey[k].points = append(byKey[k].points, p)
	}
	slices.SortStableFunc(all, func(a, b *cell) int {
		return cmp.Or(a.load.compare(b.load), cmp.Compare(slices.Index(arms(), a.arm), slices.Index(arms(), b.arm)))
	})
	return all
}
