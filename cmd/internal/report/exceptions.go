package report

import (
	"fmt"
	"slices"
	"strings"
)

// clear is by how much a median must differ to be worth a word.
const clear = 0.02

// exceptions says where targeted is not the best: by figure, workload and arm, with
// the load at which it is furthest behind.
func exceptions(run *Run) string {
	var parts []string
	for _, f := range []Figure{cpu, RedisBytesOut, LatencyP99} {
		for _, w := range []Workload{Nodes, Rate, Saturation, Clients, Size, Offline, Churn} {
			for _, arm := range []Arm{Broadcast, Subscribe} {
				behind := slices.DeleteFunc(pairs(run, w, f), func(p pair) bool {
					return p.other != arm || p.ratio() > 1-clear
				})
				if len(behind) > 0 {
					parts = append(parts, exception(f, behind))
				}
			}
		}
	}
	parts = append(parts, throughput(run)...)
	if len(parts) == 0 {
		return "No other arm was better anywhere in this run in CPU, Redis output, p99 latency or throughput."
	}
	return "Not the best everywhere: " + strings.Join(parts, "; ") + "."
}

func exception(f Figure, behind []pair) string {
	worst := behind[0]
	for _, p := range behind {
		if p.ratio() < worst.ratio() {
			worst = p
		}
	}
	where := loadText(worst.workload, worst.load)
	if others := len(behind) - 1; others > 0 {
		where = fmt.Sprintf("%s and %s", where, plural(others, "other load"))
	}
	noise := ""
	if worst.against.high >= worst.targeted.low {
		noise = ", though the repetitions' ranges overlap"
	}
	return fmt.Sprintf("in workload %s %s has less %s at %s (%s against %s%s)", worst.workload, worst.other, noun(f), where,
		quantity(f, worst.against.mid), quantity(f, worst.targeted.mid), noise)
}

// throughput says where another arm delivers more at saturation.
func throughput(run *Run) []string {
	var parts []string
	for _, p := range pairs(run, Saturation, DeliveredPerSecond) {
		if p.ratio() >= 1+clear {
			parts = append(parts, fmt.Sprintf("at saturation with %s %s delivers more (%s/s against %s/s)",
				loadText(Saturation, p.load), p.other, number(p.against.mid), number(p.targeted.mid)))
		}
	}
	return parts
}
