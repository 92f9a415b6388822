package bench

import (
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

func newPoint(w report.Workload) *point {
	return &point{Point: &report.Point{Workload: w, Figures: map[report.Figure]float64{}}, fleet: &fleet{checker: new(checker)}, gone: map[uint32]bool{}}
}

// sentLate is how late a hundred messages left: the last few by tail, all others in time.
func sentLate(tail time.Duration, few int) []time.Duration {
	late := make([]time.Duration, 100)
	for i := range few {
		late[i] = tail // the order in which they were sent does not matter
	}
	return late
}

func TestGeneratorWatchesItself(t *testing.T) {
	cores := time.Duration(runtime.NumCPU())
	for name, test := range map[string]struct {
		workload   report.Workload
		late       []time.Duration
		p99        float64 // of the latency, µs
		own, nodes time.Duration
		mark, tell string // of the point, and of its latencies
	}{
		"in time":                      {report.Rate, sentLate(0, 0), 1000, time.Second / 10, time.Second / 10, "", ""},
		"one late":                     {report.Rate, sentLate(time.Second, 1), 1000, 0, 0, "", "the generator sent 1s late (p99)"},
		"late, but latency is long":    {report.Rate, sentLate(5*time.Millisecond, 2), 60_000, 0, 0, "", ""},
		"late, and latency is not":     {report.Rate, sentLate(5*time.Millisecond, 2), 40_000, 0, 0, "", "the generator sent 5ms late (p99)"},
		"in bursts":                    {report.Rate, sentLate(2*time.Millisecond, 20), 60_000, 0, 0, "10 % of the messages left in bursts, 2ms late or more", ""},
		"all processors busy":          {report.Rate, sentLate(0, 0), 1000, cores * time.Second / 2, cores * time.Second / 2, "", "100 % of the processors were busy"},
		"saturated, nodes did it":      {report.Saturation, nil, 1000, cores * time.Second / 10, cores * time.Second * 9 / 10, "", ""},
		"saturated, generator did it":  {report.Saturation, nil, 1000, cores * time.Second * 6 / 10, cores * time.Second / 10, "the generator took 60 %", ""},
		"a killed node is not counted": {report.Kill, sentLate(0, 0), 1000, cores * time.Second * 9 / 10, -1, "", "90 % of the processors were busy"},
	} {
		x := newPoint(test.workload)
		x.late, x.Figures[report.LatencyP99] = test.late, test.p99
		start := time.Now()
		before := reading{at: start, hasCPU: true, nodes: []time.Duration{time.Hour}}
		after := reading{at: start.Add(time.Second), hasCPU: true, own: test.own, nodes: []time.Duration{time.Hour + test.nodes}}
		if test.nodes < 0 {
			after.nodes[0] = 0
		}
		x.watchOneself(&before, &after)
		marks := strings.Join(x.Marks, "; ")
		if (marks == "") != (test.mark == "") || !strings.Contains(marks, test.mark) {
			t.Errorf("%s: marks %q, want %q", name, marks, test.mark)
		}
		if (x.Late == "") != (test.tell == "") || !strings.Contains(x.Late, test.tell) {
			t.Errorf("%s: latencies %q, want %q", name, x.Late, test.tell)
		}
	}
}

// Recovered is who first hears the truth about a client of the killed node.
func TestRecoveryIsTheFirstTruthAfterTheKill(t *testing.T) {
	x := newPoint(report.Kill)
	x.gone[7], x.killed = true, 100
	for _, r := range []struct {
		to      uint32
		outcome string
		at      int64
	}{{7, "offline", 90}, {8, "offline", 110}, {7, "timeout", 120}, {7, "offline", 5_000_000_100}, {7, "offline", 2_000_000_100}} {
		x.fleet.checker.answer(1, x.fleet.checker.send(0, r.to, 1, 50, wantsReceipt), r.outcome, r.at)
	}
	x.recovered()
	if want := map[report.Figure]float64{report.RecoverySeconds: 2}; !maps.Equal(x.Figures, want) {
		t.Errorf("figures %v, want %v", x.Figures, want)
	}
	x.first = x.fleet.checker.count()
	clear(x.Figures)
	if x.recovered(); len(x.Figures) > 0 {
		t.Errorf("nobody heard the truth, and there are %v", x.Figures)
	}
}

func TestRefreshesAreWhatClientsAdd(t *testing.T) {
	for _, test := range []struct {
		empty, full resting
		want        map[report.Figure]float64
	}{
		{resting{20, 100, true}, resting{50, 300, true}, map[report.Figure]float64{report.RefreshRedisCPU: 3, report.RefreshRedisBytesIn: 20}},
		{resting{50, 300, true}, resting{20, 100, true}, map[report.Figure]float64{report.RefreshRedisCPU: 0, report.RefreshRedisBytesIn: 0}},
		{resting{0, 100, false}, resting{50, 300, true}, map[report.Figure]float64{report.RefreshRedisBytesIn: 20}},
	} {
		x := newPoint(report.Idle)
		x.Clients = 10
		x.refreshes(test.empty, test.full)
		if !maps.Equal(x.Figures, test.want) {
			t.Errorf("%+v and %+v make %v, want %v", test.empty, test.full, x.Figures, test.want)
		}
	}
}
