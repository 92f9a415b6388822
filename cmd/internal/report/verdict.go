package report

import (
	"fmt"
	"slices"
	"strings"
)

// trouble says in words why a run is not to be trusted; empty if nothing is wrong.
func trouble(run *Run) string {
	var parts []string
	if run.Broken != "" {
		parts = append(parts, fmt.Sprintf("This run is BROKEN, it ended before its time: %s. The figures are of the %d points that were measured before.",
			strings.TrimSuffix(run.Broken, "."), len(run.Points)))
	}
	faulty, first := 0, ""
	for i := range run.Points {
		if p := &run.Points[i]; len(p.Faults) > 0 {
			if faulty++; first == "" {
				first = fmt.Sprintf("%s, %s, %s: %s", p.Workload, p.Arm, loadText(p.Workload, p.load()), strings.Join(p.Faults, "; "))
			}
		}
	}
	if faulty > 0 {
		parts = append(parts, fmt.Sprintf("This run has FAILED: deliveries went wrong in %d of %d points (first in %s).", faulty, len(run.Points), first))
	}
	return strings.Join(parts, " ")
}

// Verdict says in one paragraph whether taking messages straight to their owners pays
// for the cluster that was measured. What is wrong with the run comes first; where
// another arm is better, it is said with figures.
func Verdict(run *Run) string {
	var parts []string
	if bad := trouble(run); bad != "" {
		parts = append(parts, bad)
	}
	parts = append(parts, answer(run))
	if e := exceptions(run); e != "" {
		parts = append(parts, e)
	}
	if !slices.ContainsFunc(run.Points, func(p Point) bool { return p.Repetition > 1 }) {
		parts = append(parts, "Each load was measured once: chance is not told apart.")
	}
	if n := marked(run); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d points are marked as not to be trusted, and left out.", n, len(run.Points)))
	}
	if n := late(run); n > 0 {
		parts = append(parts, fmt.Sprintf("Of %d of %d points the latencies are left out, because the load came late.", n, len(run.Points)))
	}
	return strings.Join(parts, " ")
}

func marked(run *Run) int {
	n := 0
	for i := range run.Points {
		if len(run.Points[i].Marks) > 0 {
			n++
		}
	}
	return n
}

func late(run *Run) int {
	n := 0
	for i := range run.Points {
		if run.Points[i].Late != "" {
			n++
		}
	}
	return n
}

// pair is a figure of targeted delivery and of another arm under the same load.
type pair struct {
	workload Workload
	load     load
	other    Arm
	targeted band
	against  band
}

// ratio is how many times targeted's figure the other's is.
func (p pair) ratio() float64 { return p.against.mid / p.targeted.mid }

// pairs returns all pairs of a workload for one figure, in the order of their loads.
func pairs(run *Run, w Workload, f Figure) []pair {
	cells := run.cells(w)
	var all []pair
	for _, c := range cells {
		b, ok := c.band(f)
		if c.arm == Targeted || !ok {
			continue
		}
		i := slices.IndexFunc(cells, func(t *cell) bool { return t.arm == Targeted && t.load == c.load })
		if i < 0 {
			continue
		}
		if t, ok := cells[i].band(f); ok && t.mid > 0 {
			all = append(all, pair{w, c.load, c.arm, t, b})
		}
	}
	return all
}

// answer is the verdict's first sentences, from the most telling workload there is.
func answer(run *Run) string {
	for _, m := range measures()[:2] {
		for _, w := range []Workload{Nodes, Rate, Saturation, Clients, Size, Offline, Churn} {
			all := pairs(run, w, m.figure)
			if len(all) == 0 {
				continue
			}
			largest := all[len(all)-1].load
			at := slices.DeleteFunc(slices.Clone(all), func(p pair) bool { return p.load != largest })
			return judge(run, w, m, at, all)
		}
	}
	return "Whether targeted delivery pays can't be told from this run: it has no trusted CPU or Redis output of targeted and another arm under the same load."
}

// judge says who is cheapest under the largest load, and from which size on.
func judge(run *Run, w Workload, m measure, at, all []pair) string {
	var out strings.Builder
	worst, best := at[0], at[0]
	for _, p := range at {
		if p.ratio() < worst.ratio() {
			worst = p
		}
		if p.ratio() > best.ratio() {
			best = p
		}
	}
	where := loadText(w, at[0].load)
	switch {
	case worst.ratio() >= 1+margin && worst.targeted.high < worst.against.low:
		fmt.Fprintf(&out, "Targeted delivery pays here: ")
	case worst.ratio() > 1-margin || worst.overlaps():
		fmt.Fprintf(&out, "Targeted delivery is not clearly cheaper than %s here: ", worst.other)
	case best.ratio() >= 1+margin:
		fmt.Fprintf(&out, "Targeted delivery pays against %s but not against %s: ", best.other, worst.other)
	default:
		fmt.Fprintf(&out, "No, targeted delivery does not pay here: ")
	}
	fmt.Fprintf(&out, "with %s a delivered message takes %s of %s targeted", where, quantity(m.figure, at[0].targeted.mid), noun(m.figure))
	for _, p := range at {
		fmt.Fprintf(&out, ", %s by %s (%s)", quantity(m.figure, p.against.mid), p.other, times(p.ratio()))
	}
	out.WriteString(".")
	if w == Nodes {
		out.WriteString(crossing(all))
	}
	if m.figure == cpu {
		out.WriteString(growthOfOutput(run))
	}
	return out.String()
}

// crossing says from which number of nodes on targeted is clearly the cheapest. The pairs
// are in the order of their sizes.
func crossing(all []pair) string {
	behind := 0 // the largest size at which another arm is as cheap, or nearly
	for _, p := range all {
		if p.ratio() < 1+margin {
			behind = p.load.nodes
		}
	}
	if behind == 0 {
		return " It is the cheapest at every size measured."
	}
	for _, p := range all {
		if p.load.nodes > behind {
			return fmt.Sprintf(" Of the sizes measured it is the cheapest from %s on.", plural(p.load.nodes, "node"))
		}
	}
	return ""
}

// growthOfOutput says how what Redis sends grows with the nodes, arm by arm. One
// node is left out: there targeted needs no Redis.
func growthOfOutput(run *Run) string {
	var parts []string
	cells := run.cells(Nodes)
	first, last := 0.0, 0.0
	for _, arm := range arms() {
		spots := curve(cells, arm, RedisBytesOut, growths()[0].at)
		spots = slices.DeleteFunc(spots, func(s spot) bool { return s.x < 2 || s.y.mid <= 0 })
		if len(spots) < 2 {
			continue
		}
		from, to := spots[0], spots[len(spots)-1]
		if first == 0 {
			first, last = from.x, to.x
		}
		if from.x == first && to.x == last {
			parts = append(parts, fmt.Sprintf("from %s to %s bytes (×%s) %s", number(from.y.mid), number(to.y.mid), number(to.y.mid/from.y.mid), arm))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf(" From %s to %s nodes Redis' output per message goes %s.", number(first), number(last), list(parts))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// times says how a figure relates to targeted's.
func times(ratio float64) string {
	switch {
	case ratio >= 1+margin:
		return number(ratio) + " times as much"
	case ratio > 1-margin:
		return "the same within " + number(100*margin) + " %"
	default:
		return number(100*(1-ratio)) + " % less"
	}
}

func noun(f Figure) string {
	switch f {
	case cpu:
		return "CPU of nodes and Redis"
	case RedisBytesOut:
		return "Redis output"
	case LatencyP99:
		return "p99 latency"
	case BytesPerConnection:
		return "memory per connection"
	default:
		return string(f)
	}
}

func quantity(f Figure, v float64) string {
	switch f {
	case RedisBytesOut, BytesPerConnection:
		return number(v) + " bytes"
	default:
		return number(v) + " µs"
	}
}
