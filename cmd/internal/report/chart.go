package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// chart is one picture: what is drawn, not how.
type chart struct {
	name    string // of its file, without .svg
	title   string
	caption string // for the page; it may say more than the picture
	x, y    axis
	lines   []line
}

// axis is one of a chart's two.
type axis struct {
	label string
	log   bool
	ticks []tick // empty: round numbers
}

type tick struct {
	at   float64
	text string
}

// line is one of a chart's lines.
type line struct {
	label  string
	arm    Arm // its colour, marker and dashes; empty: a limit, which is grey
	spots  []spot
	dashed bool // it is computed, not measured
	plain  bool // it has no markers
	solid  bool // it has no dashes, whatever the arm's are
}

type spot struct {
	x float64
	y band
}

// growth describes what grows in a workload, on the x axis.
type growth struct {
	workload Workload
	label    string
	title    string
	log      bool
	at       func(l load) float64
}

func growths() []growth {
	return []growth{
		{Nodes, "nodes", "number of nodes", false, func(l load) float64 { return float64(l.nodes) }},
		{Clients, "connected clients", "number of clients", true, func(l load) float64 { return float64(l.clients) }},
		{Size, "bytes of a message", "size of messages", true, func(l load) float64 { return float64(l.bytes) }},
		{Offline, "receivers that are offline, %", "share of offline receivers", false, func(l load) float64 { return 100 * l.offline }},
	}
}

// measure describes what is drawn against it, on the y axis.
type measure struct {
	figure Figure
	name   string
	label  string
	title  string
}

func measures() []measure {
	return []measure{
		{cpu, "cpu", "CPU per delivered message, µs", "CPU of nodes and Redis"},
		{RedisBytesOut, "redis-out", "bytes per delivered message", "Redis output"},
		{Wasted, "wasted", "wasted deliveries per message", "Deliveries to nodes without the receiver"},
	}
}

// measures returns what is drawn against what grows. What does not change with it is
// better read from the table.
func (g growth) measures() []measure {
	switch g.workload {
	case Nodes:
		return measures()
	case Size:
		return measures()[:2]
	default:
		return measures()[:1]
	}
}

// pictureNames returns the names of all pictures that any report may have.
func pictureNames() []string {
	var names []string
	for _, g := range growths() {
		for _, m := range g.measures() {
			names = append(names, string(g.workload)+"-"+m.name+".svg")
		}
	}
	for _, w := range workloads() {
		names = append(names, "latency-"+string(w)+".svg")
	}
	return append(names, "model-cpu.svg", "model-redis-out.svg", "model-redis-cores.svg")
}

// charts returns the charts that a run has figures for.
func charts(run *Run) []chart {
	var all []chart
	for _, g := range growths() {
		for _, m := range g.measures() {
			if c, ok := growthChart(run, g, m); ok {
				all = append(all, c)
			}
		}
	}
	for _, w := range []Workload{Rate, Nodes, Saturation, Churn} {
		if c, ok := latencyChart(run, w); ok {
			all = append(all, c)
		}
	}
	return append(all, modelCharts(run)...)
}

// growthChart draws one measure against what grows. Less than three sizes are better
// read from the table.
func growthChart(run *Run, g growth, m measure) (chart, bool) {
	c := chart{
		name:    string(g.workload) + "-" + m.name,
		title:   m.title + " against the " + g.title,
		caption: "Median of the repetitions; the shaded band reaches from the least to the greatest.",
		x:       axis{label: g.label, log: g.log},
		y:       axis{label: m.label},
	}
	cells := run.cells(g.workload)
	sizes := 0
	for _, arm := range arms() {
		spots := curve(cells, arm, m.figure, g.at)
		if len(spots) > 0 {
			c.lines = append(c.lines, line{label: string(arm), arm: arm, spots: spots})
		}
		sizes = max(sizes, len(spots))
	}
	c.x.ticks = ticksAt(c.lines)
	return c, sizes > 2
}

// curve returns an arm's figure over what grows.
func curve(cells []*cell, arm Arm, f Figure, at func(load) float64) []spot {
	var spots []spot
	for _, c := range cells {
		if b, ok := c.band(f); ok && c.arm == arm {
			spots = append(spots, spot{at(c.load), b})
		}
	}
	slices.SortStableFunc(spots, func(a, b spot) int { return cmp.Compare(a.x, b.x) })
	return spots
}

// ticksAt marks the sizes that were measured.
func ticksAt(lines []line) []tick {
	var at []float64
	for _, l := range lines {
		for _, s := range l.spots {
			at = append(at, s.x)
		}
	}
	slices.Sort(at)
	var ticks []tick
	for _, x := range slices.Compact(at) {
		ticks = append(ticks, tick{x, thousands(exact(x))})
	}
	return ticks
}

// latencyChart draws the latencies' distributions at a workload's largest load.
func latencyChart(run *Run, w Workload) (chart, bool) {
	c := chart{
		name:    "latency-" + string(w),
		caption: "From the intended time of sending to the receipt by the receiving client. Each step to the right is rarer by ten.",
		x:       axis{label: "share of messages that were as fast or faster", log: true},
		y:       axis{label: "latency, µs", log: true},
	}
	cells := run.cells(w)
	for _, cell := range slices.Backward(cells) {
		if last := c.lines; len(last) == 0 {
			c.title = fmt.Sprintf("Latency%s: %s", latencyTitle(w), loadText(w, cell.load))
		} else if cell.load != cells[len(cells)-1].load {
			break
		}
		if spots := cell.distribution(); len(spots) > 1 {
			c.lines = append(c.lines, line{label: string(cell.arm), arm: cell.arm, spots: spots})
		}
	}
	slices.Reverse(c.lines)
	for _, p := range percents() {
		if reach(c.lines) >= rarity(p) {
			c.x.ticks = append(c.x.ticks, tick{rarity(p), exact(p) + " %"})
		}
	}
	return c, len(c.lines) > 0
}

// latencyTitle says what is special about a workload's load.
func latencyTitle(w Workload) string {
	switch w {
	case Saturation:
		return " at saturation"
	case Churn:
		return " while clients move"
	default:
		return ""
	}
}

// percents are those that are drawn.
func percents() []float64 { return []float64{50, 90, 99, 99.9, 99.99, 99.999} }

// rarity is a percentile's place on the axis: one in so many is beyond it.
func rarity(percent float64) float64 { return 100 / (100 - percent) }

func reach(lines []line) float64 {
	most := 0.0
	for _, l := range lines {
		most = max(most, l.spots[len(l.spots)-1].x)
	}
	return most
}

// distribution returns the repetitions' latencies as one curve: at each percentile
// the band of what they had there.
func (c *cell) distribution() []spot {
	var spots []spot
	for _, percent := range grid() {
		var values []float64
		for _, p := range c.points {
			if v, ok := latencyAt(p.Latencies, percent); ok && p.good() && p.Late == "" {
				values = append(values, v)
			}
		}
		if len(values) == 0 {
			break
		}
		spots = append(spots, spot{rarity(percent), bandOf(values)})
	}
	return spots
}

// grid returns the percentiles of a curve, eight for each factor of ten.
func grid() []float64 {
	return []float64{
		0, 25, 43.8, 57.8, 68.4, 76.3, 82.2, 86.7, 90, 92.5, 94.38, 95.78, 96.84, 97.63, 98.22, 98.67,
		99, 99.25, 99.438, 99.578, 99.684, 99.763, 99.822, 99.867, 99.9, 99.925, 99.9438, 99.9578,
		99.9684, 99.9763, 99.9822, 99.9867, 99.99, 99.9925, 99.9944, 99.9958, 99.9968, 99.9976, 99.9982, 99.9987, 99.999,
	}
}

// latencyAt reads a distribution, on the straight line between the steps that were
// recorded as the picture has it. What is rarer than the last step below 100 % was not
// seen often enough to be told apart from the maximum.
func latencyAt(latencies []Percentile, percent float64) (float64, bool) {
	for i, l := range latencies {
		switch {
		case l.Percent >= 100 || i == 0 && l.Percent > percent:
			return 0, false
		case l.Percent == percent:
			return l.Micros, true
		case l.Percent > percent:
			before := latencies[i-1]
			from, to := math.Log(rarity(before.Percent)), math.Log(rarity(l.Percent))
			share := (math.Log(rarity(percent)) - from) / (to - from)
			return before.Micros + share*(l.Micros-before.Micros), true
		}
	}
	return 0, false
}
