package report

import (
	"fmt"
	"slices"
	"strings"
)

// margin is by how much a median must differ to be worth a word.
const margin = 0.02

// exceptions says where targeted is not the best: by figure, workload and arm, with
// the load at which it is furthest behind. Where the repetitions' ranges overlap, it
// says no more than that; where nothing was compared, nothing.
func exceptions(run *Run) string {
	var behind, even []string
	compared := false
	for _, f := range []Figure{cpu, RedisBytesOut, LatencyP99} {
		for _, w := range []Workload{Nodes, Rate, Saturation, Clients, Size, Offline, Churn} {
			for _, arm := range []Arm{Broadcast, Subscribe} {
				all := slices.DeleteFunc(pairs(run, w, f), func(p pair) bool { return p.other != arm })
				compared = compared || len(all) > 0
				better := slices.DeleteFunc(all, func(p pair) bool { return p.ratio() > 1-margin })
				sure := slices.DeleteFunc(slices.Clone(better), pair.overlaps)
				switch {
				case len(sure) > 0:
					behind = append(behind, exception(f, sure))
				case len(better) > 0:
					even = append(even, fmt.Sprintf("%s's %s in workload %s", arm, noun(f), w))
				}
			}
		}
	}
	behind = append(behind, throughput(run)...)
	var parts []string
	if len(behind) > 0 {
		parts = append(parts, "It is not the best everywhere: "+strings.Join(behind, "; ")+".")
	}
	if len(even) > 0 {
		parts = append(parts, "Lower in the median, but within the repetitions' spread: "+list(even)+".")
	}
	if len(parts) == 0 && compared {
		return "Nowhere in this run was another arm better in CPU, Redis output, p99 latency or throughput."
	}
	return strings.Join(parts, " ")
}

// overlaps reports whether the repetitions of both arms reach into each other.
func (p pair) overlaps() bool { return p.against.high >= p.targeted.low }

func exception(f Figure, behind []pair) string {
	worst := behind[0]
	for _, p := range behind {
		if p.ratio() < worst.ratio() {
			worst = p
		}
	}
	more := ""
	if others := len(behind) - 1; others > 0 {
		more = fmt.Sprintf(", and in %s of this workload", plural(others, "other load"))
	}
	return fmt.Sprintf("%s takes less %s with %s (%s against %s)%s", worst.other, noun(f),
		loadText(worst.workload, worst.load), quantity(f, worst.against.mid), quantity(f, worst.targeted.mid), more)
}

// throughput says where another arm delivers more at saturation.
func throughput(run *Run) []string {
	var parts []string
	for _, p := range pairs(run, Saturation, DeliveredPerSecond) {
		if p.ratio() >= 1+margin && p.against.low > p.targeted.high {
			parts = append(parts, fmt.Sprintf("%s delivers more at saturation with %s (%s/s against %s/s)",
				p.other, loadText(Saturation, p.load), number(p.against.mid), number(p.targeted.mid)))
		}
	}
	return parts
}
