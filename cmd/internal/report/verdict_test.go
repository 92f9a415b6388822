package report

import (
	"strings"
	"testing"
)

// compared returns a run of three repetitions at each size, whose costs are CPU of
// all nodes, by arm and in the order of the sizes.
func compared(sizes []int, costs map[Arm][]float64) *Run {
	run := &Run{}
	for i, n := range sizes {
		for r := range 3 {
			for _, arm := range arms() {
				if len(costs[arm]) > 0 {
					run.Points = append(run.Points, costing(arm, n, r+1, costs[arm][i]+float64(r), 0))
				}
			}
		}
	}
	return run
}

// wantInOrder fails if the text does not hold the parts one after the other.
func wantInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Fatalf("%q is missing, or not in its place, in:\n%s", p, text)
		}
		rest = after
	}
}

func TestVerdictSaysYesWhereTargetedIsCheapest(t *testing.T) {
	run := compared([]int{2, 4, 8}, map[Arm][]float64{Targeted: {100, 101, 102}, Broadcast: {130, 200, 400}, Subscribe: {150, 150, 150}})
	wantInOrder(t, Verdict(run), "Targeted delivery pays here", "8 nodes", "103 µs", "401 µs by broadcast (3.89 times as much)", "151 µs by subscribe",
		"cheapest at every size measured", "Nowhere in this run was another arm better")
}

func TestVerdictSaysNoWhereOthersAreCheaper(t *testing.T) {
	run := compared([]int{1, 2}, map[Arm][]float64{Targeted: {200, 210}, Broadcast: {100, 110}, Subscribe: {150, 160}})
	got := Verdict(run)
	wantInOrder(t, got, "No, targeted delivery does not pay here", "47.4 % less", "not the best everywhere", "broadcast takes less CPU")
	if strings.Contains(got, "cheapest") {
		t.Errorf("targeted is nowhere the cheapest: %s", got)
	}
}

func TestVerdictNamesTheCrossing(t *testing.T) {
	run := compared([]int{1, 2, 4, 8}, map[Arm][]float64{Targeted: {100, 100, 100, 100}, Broadcast: {50, 90, 200, 400}})
	wantInOrder(t, Verdict(run), "pays here", "cheapest from 4 nodes on",
		"broadcast takes less CPU of nodes and Redis with 1 node", "(51 µs against 101 µs), and in 1 other load of this workload")
}

func TestVerdictSeparatesTheOtherArms(t *testing.T) {
	run := compared([]int{4}, map[Arm][]float64{Targeted: {100}, Broadcast: {300}, Subscribe: {60}})
	wantInOrder(t, Verdict(run), "pays against broadcast but not against subscribe", "subscribe takes less CPU")
}

func TestVerdictDoesNotDecideWithinTheSpread(t *testing.T) {
	run := compared([]int{4}, map[Arm][]float64{Targeted: {100}, Broadcast: {97}})
	run.Points[0].Figures[NodeCPU] = 90 // one of targeted's repetitions was as cheap
	got := Verdict(run)
	wantInOrder(t, got, "within the repetitions' spread: broadcast's CPU")
	if strings.Contains(got, "not the best everywhere") {
		t.Errorf("the ranges overlap: %s", got)
	}
}

func TestVerdictSaysFirstWhatIsWrong(t *testing.T) {
	run := compared([]int{4}, map[Arm][]float64{Targeted: {100}, Broadcast: {300}})
	run.Broken = "Redis has died"
	run.Points[0].Faults = []string{"1 message misrouted"}
	run.Points[2].Marks = []string{"the generator was late"}
	got := Verdict(run)
	if !strings.HasPrefix(got, "This run is BROKEN, it ended before its time: Redis has died.") {
		t.Errorf("it does not begin with what broke the run: %s", got)
	}
	wantInOrder(t, got, "BROKEN", "FAILED", "1 of 6 points", "1 message misrouted", "Targeted delivery", "1 of 6 points are marked")
}

func TestVerdictWithoutCPUIsOnRedisOutput(t *testing.T) {
	run := &Run{Points: []Point{
		{Workload: Rate, Arm: Targeted, Nodes: 3, Figures: map[Figure]float64{RedisBytesOut: 240}},
		{Workload: Rate, Arm: Broadcast, Nodes: 3, Figures: map[Figure]float64{RedisBytesOut: 720}},
	}}
	wantInOrder(t, Verdict(run), "pays here", "240 bytes of Redis output targeted", "720 bytes by broadcast (3 times as much)")
}

func TestVerdictOfOneArmComparesNothing(t *testing.T) {
	run := compared([]int{2, 4, 8}, map[Arm][]float64{Targeted: {100, 101, 102}})
	v := Verdict(run)
	wantInOrder(t, v, "can't be told from this run")
	if strings.Contains(v, "Nowhere") {
		t.Errorf("with one arm: %s", v)
	}
}

func TestVerdictOfNothing(t *testing.T) {
	wantInOrder(t, Verdict(&Run{Broken: "interrupted"}), "BROKEN", "interrupted", "can't be told from this run")
}
