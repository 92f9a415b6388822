package report

import (
	"math"
	"testing"
)

// costing returns a point of the workload Nodes that costs so much.
func costing(arm Arm, nodes, repetition int, nodeCPU, redisCPU float64) Point {
	return Point{Workload: Nodes, Arm: arm, Repetition: repetition, Nodes: nodes, Clients: 1000, MessageBytes: 100, RatePerSecond: 2000,
		Figures: map[Figure]float64{NodeCPU: nodeCPU, RedisCPU: redisCPU}}
}

func TestBandOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   band
	}{
		{[]float64{3}, band{3, 3, 3}},
		{[]float64{9, 1, 2}, band{1, 2, 9}},
		{[]float64{4, 1, 2, 9}, band{1, 3, 9}},
	} {
		if got := bandOf(c.values); got != c.want {
			t.Errorf("bandOf(%v) = %v, want %v", c.values, got, c.want)
		}
	}
}

func TestPointsWithMarksOrFaultsAreLeftOut(t *testing.T) {
	run := &Run{Points: []Point{
		costing(Targeted, 2, 1, 100, 10), costing(Targeted, 2, 2, 110, 10), costing(Targeted, 2, 3, 5000, 10), costing(Targeted, 2, 4, 1, 10),
	}}
	run.Points[2].Marks = []string{"the generator was late"}
	run.Points[3].Faults = []string{"2 messages misrouted"}
	cells := run.cells(Nodes)
	if len(cells) != 1 {
		t.Fatalf("%d cells, want one", len(cells))
	}
	if got, ok := cells[0].band(cpu); !ok || got != (band{110, 115, 120}) {
		t.Errorf("band %v, %v; want 110, 115, 120 of the two good points", got, ok)
	}
	if cells[0].bad() != 2 {
		t.Errorf("%d are bad, want 2", cells[0].bad())
	}
}

func TestWhatWasNotMeasuredHasNoValue(t *testing.T) {
	p := Point{Figures: map[Figure]float64{NodeCPU: 7, Wasted: math.NaN(), Lost: math.Inf(1), RedisBytesOut: 0}}
	for _, f := range []Figure{cpu, RedisCPU, Wasted, Lost} {
		if v, ok := p.value(f); ok {
			t.Errorf("%s has the value %v", f, v)
		}
	}
	if v, ok := p.value(RedisBytesOut); !ok || v != 0 {
		t.Error("a measured zero is a value")
	}
}

func TestLatencyIsReadBetweenSteps(t *testing.T) {
	steps := []Percentile{{0, 10}, {50, 20}, {90, 30}, {99, 60}, {100, 900}}
	for _, c := range []struct {
		percent, want float64
		ok            bool
	}{
		{50, 20, true}, {90, 30, true}, {99, 60, true},
		{100 - math.Sqrt(10), 45, true}, // half way on the logarithmic axis
		{99.5, 0, false},                // not seen often enough
	} {
		got, ok := latencyAt(steps, c.percent)
		if ok != c.ok || math.Abs(got-c.want) > 1e-6 {
			t.Errorf("at %v %%: %v, %v; want %v, %v", c.percent, got, ok, c.want, c.ok)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 1.5: "1.5", 12.34: "12.3", 99.96: "100", 1234: "1,230", 1234567: "1,230,000", -4.2: "-4.2", 999.6: "1,000",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestLateGeneratorSpoilsLatenciesOnly(t *testing.T) {
	p := costing(Targeted, 2, 1, 100, 10)
	p.Figures[LatencyP99] = 300
	p.Late = "the generator sent late"
	c := (&Run{Points: []Point{p}}).cells(Nodes)[0]
	if _, ok := c.band(LatencyP99); ok {
		t.Error("the latency is shown as if it were good")
	}
	if b, ok := c.band(cpu); !ok || b.mid != 110 {
		t.Errorf("the cost is %v, %v; want 110", b, ok)
	}
}
