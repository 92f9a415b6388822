package report

import (
	"math"
	"strings"
	"testing"
)

func wantAbout(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func (m *Model) arm(t *testing.T, arm Arm) *ArmModel {
	t.Helper()
	for i := range m.Arms {
		if m.Arms[i].Arm == arm {
			return &m.Arms[i]
		}
	}
	t.Fatalf("the model has no %s", arm)
	return nil
}

func TestModelRecoversTheUnitCosts(t *testing.T) {
	m := NewModel(newSynthetic(0).whole())
	for _, c := range []struct {
		arm                           Arm
		figure                        Figure
		base, grow, ack, lookup, wake float64
	}{
		{Targeted, NodeCPU, 30, 40, 0, 15, 170}, {Targeted, RedisCPU, 0, 45, 0, 9, 11}, {Targeted, RedisBytesOut, 0, 235, 65, 60, 0},
		{Broadcast, NodeCPU, 70, 10, 0, 0, 170}, {Broadcast, RedisCPU, 32, 9, 0, 0, 11}, {Broadcast, RedisBytesIn, 240, 0, 0, 0, 0}, {Broadcast, RedisBytesOut, 215, 215, 0, 0, 0},
		{Subscribe, NodeCPU, 65, 15, 0, 0, 170}, {Subscribe, RedisBytesOut, 250, 0, 0, 0, 0},
	} {
		u := m.arm(t, c.arm).Units[c.figure]
		what := string(c.arm) + " " + string(c.figure)
		wantAbout(t, what+" base", u.Base, c.base, 1e-6)
		wantAbout(t, what+" grow", u.Grow, c.grow, 1e-6)
		wantAbout(t, what+" acknowledgement", u.Ack, c.ack, 1e-6)
		wantAbout(t, what+" lookup", u.Lookup, c.lookup, 1e-6)
		wantAbout(t, what+" waking", u.Wake, c.wake, 1e-6)
		if u.Assumed || u.Whole {
			t.Errorf("%s: %+v, though all can be told", what, u)
		}
	}
	for _, am := range m.Arms {
		for _, c := range am.Checks {
			wantAbout(t, string(am.Arm)+"'s error in "+string(c.Figure), c.Error(), 0, 1e-9)
		}
	}
}

func TestModelIsCheckedAgainstWhatItHasNotSeen(t *testing.T) {
	run := newSynthetic(0).whole()
	for i := range run.Points {
		if p := &run.Points[i]; p.Workload == Nodes && p.Nodes == 16 {
			p.Figures[NodeCPU] *= 2
		}
	}
	m := NewModel(run)
	am := m.arm(t, Broadcast)
	wantAbout(t, "the base, from the other sizes", am.Units[NodeCPU].Base, 70, 1e-6)
	checked := false
	for _, c := range am.Checks {
		if c.Figure == NodeCPU {
			checked = true
			wantAbout(t, "the error", c.Error(), -0.5, 1e-9)
			if c.Nodes != 16 {
				t.Errorf("%d nodes were held out, want the 16", c.Nodes)
			}
		}
	}
	if !checked {
		t.Error("nothing was held out")
	}
}

func TestLookupsThatCannotBeToldApartCostAHop(t *testing.T) {
	s := newSynthetic(0)
	for _, n := range []int{1, 2, 4, 8} {
		s.add(1, Point{Workload: Nodes, Nodes: n, Clients: 1000, MessageBytes: 100, RatePerSecond: 2000}, 0)
	}
	u := NewModel(&s.Run).arm(t, Targeted).Units[RedisCPU]
	if !u.Assumed {
		t.Error("there were no lookups, but their cost is not said to be assumed")
	}
	wantAbout(t, "a lookup", u.Lookup, 45, 1e-6)
}

// Without a run on one node nobody knows what a message costs that stays there: then
// the hop has it, and a lookup is not free.
func TestModelWithoutOneNode(t *testing.T) {
	s := newSynthetic(0)
	for _, n := range []int{2, 4, 8} {
		s.add(1, Point{Workload: Nodes, Nodes: n, Clients: 1000, MessageBytes: 100, RatePerSecond: 2000}, 0)
	}
	m := NewModel(&s.Run)
	u := m.arm(t, Targeted).Units[RedisBytesIn]
	if !u.Whole || !u.Assumed || u.Base != 0 {
		t.Errorf("units %+v", u)
	}
	wantAbout(t, "a hop", u.Grow, 260, 1e-6)
	wantAbout(t, "a lookup", u.Lookup, 260, 1e-6)
	text := ""
	for _, row := range m.unitTable().Rows {
		text += strings.Join(row, "|") + "\n"
	}
	wantInOrder(t, text, "targeted|message on one node: read, delivered|in the hop|", "targeted|lookup|as a hop|")
	if b := m.arm(t, Broadcast).Units[RedisBytesOut]; b.Whole {
		t.Errorf("broadcast's filter can be told from its base: %+v", b)
	}
}

func TestUnitCostsAreNeverNegative(t *testing.T) {
	var falling []sample
	for i, cost := range []float64{100, 80, 80} {
		falling = append(falling, sample{traffic{nodes: 1 << i, away: apart(1 << i)}, Subscribe, cost})
	}
	u := fit(falling, RedisBytesOut)[Subscribe]
	if u.Base < 0 || u.Grow != 0 {
		t.Errorf("units %+v, want no hop that gives bytes back", u)
	}
}

func TestModelNeedsThreeSizes(t *testing.T) {
	s := newSynthetic(0)
	for _, n := range []int{1, 2} {
		s.add(1, Point{Workload: Nodes, Nodes: n, Clients: 1000}, 0)
	}
	if m := NewModel(&s.Run); len(m.Arms) > 0 {
		t.Errorf("a model of two sizes: %+v", m)
	}
}

func TestDemand(t *testing.T) {
	m := NewModel(newSynthetic(0).whole())
	a := Assumptions{MessagesPerSecond: 0.1, RedisShare: 0.5, KnownOwners: 500_000}

	d := m.Demand(m.arm(t, Broadcast), 100, 1_000_000, a)
	// 100,000 messages/s of 32 + 99·9 µs, and those of nodes that wake.
	const wakes = 101 / (1 + 0.005*101*1000)
	wantAbout(t, "broadcast's Redis", d.RedisCores, 92.3+1.1*wakes, 0.001)
	wantAbout(t, "what only one shard can do", d.OneShard, 92.3+1.1*wakes, 0.001)
	wantAbout(t, "broadcast's output", d.BytesOut, 100_000*215*100, 1)
	if d.Fits(a) {
		t.Error("92 cores fit on one shard")
	}

	d = m.Demand(m.arm(t, Targeted), 100, 1_000_000, a)
	// Half of the owners are not remembered; two nodes exchange 10 messages/s. Refreshes of
	// synthetic 0.17 µs and 1.56 bytes.
	const acks = 0.99 / (1 + 1*100_000*0.99/9900)
	const woken = (1.99 + acks) / (1 + 0.005*(1.99+acks)*1000)
	wantAbout(t, "targeted's Redis", d.RedisCores, 0.1*(0.99*(45+9*0.5)+45*acks+11*woken)+0.17, 0.001)
	wantAbout(t, "targeted's nodes", d.NodeCores, 0.1*(30+0.99*(40+15*0.5)+40*acks+170*woken), 0.001)
	wantAbout(t, "what targeted sends to Redis", d.BytesIn, 100_000*(0.99*(260+70*0.5)+70*acks)+1_560_000, 1)
	if d.Shards != 12 || !d.Fits(a) {
		t.Errorf("%d shards, fits %v; want %v cores on 12 shards of half a core", d.Shards, d.Fits(a), d.RedisCores)
	}
}

func TestDemandNamesWhatIsImpossible(t *testing.T) {
	table := NewModel(newSynthetic(0).whole()).demandTable(assumed())
	if len(table.Rows) != 18 {
		t.Fatalf("%d rows, want one for each of 2 · 3 sizes and 3 arms", len(table.Rows))
	}
	for _, row := range table.Rows {
		if impossible := strings.HasPrefix(row[5], "impossible"); impossible != (row[2] == "broadcast") {
			t.Errorf("row %v", row)
		}
	}
}
