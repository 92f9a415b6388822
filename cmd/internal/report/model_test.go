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
		arm                     Arm
		figure                  Figure
		base, grow, ack, lookup float64
	}{
		{Targeted, NodeCPU, 40, 80, 50, 15}, {Targeted, RedisCPU, 0, 45, 20, 9}, {Targeted, RedisBytesOut, 0, 235, 65, 60},
		{Broadcast, NodeCPU, 95, 38, 0, 0}, {Broadcast, RedisCPU, 32, 9, 0, 0}, {Broadcast, RedisBytesIn, 240, 0, 0, 0}, {Broadcast, RedisBytesOut, 215, 215, 0, 0},
		{Subscribe, NodeCPU, 110, 15, 0, 0}, {Subscribe, RedisBytesOut, 250, 0, 0, 0},
	} {
		u := m.arm(t, c.arm).Units[c.figure]
		what := string(c.arm) + " " + string(c.figure)
		wantAbout(t, what+" base", u.Base, c.base, 1e-6)
		wantAbout(t, what+" grow", u.Grow, c.grow, 1e-6)
		wantAbout(t, what+" acknowledgement", u.Ack, c.ack, 1e-6)
		wantAbout(t, what+" lookup", u.Lookup, c.lookup, 1e-6)
		if u.Assumed {
			t.Errorf("%s: a lookup's cost is assumed, though it can be told", what)
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
	wantAbout(t, "the base, from the other sizes", am.Units[NodeCPU].Base, 95, 1e-6)
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

func TestUnitCostsAreNeverNegative(t *testing.T) {
	falling := []sample{{1, 0, 0, 0, 100}, {2, 0, 1, 0, 80}, {4, 0, 1, 0, 80}}
	u := fit(Subscribe, falling)
	if u.Base < 0 || u.Grow != 0 {
		t.Errorf("units %+v, want no hop that gives CPU back", u)
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
	// 100,000 messages/s of 32 + 99·9 µs; refreshes of synthetic 0.17 µs and 1.56 bytes.
	wantAbout(t, "broadcast's Redis", d.RedisCores, 92.3+0.17, 0.001)
	wantAbout(t, "what only one shard can do", d.OneShard, 92.3, 0.001)
	wantAbout(t, "broadcast's output", d.BytesOut, 100_000*215*100, 1)
	if d.Fits(a) {
		t.Error("92 cores fit on one shard")
	}

	d = m.Demand(m.arm(t, Targeted), 100, 1_000_000, a)
	// Half of the owners are not remembered; two nodes exchange 10 messages/s.
	const acks = 0.99 / (1 + 1*100_000*0.99/9900)
	wantAbout(t, "targeted's Redis", d.RedisCores, 0.1*(0.99*(45+9*0.5)+20*acks)+0.17, 0.001)
	wantAbout(t, "targeted's nodes", d.NodeCores, 0.1*(40+0.99*(80+15*0.5)+50*acks), 0.001)
	wantAbout(t, "what targeted sends to Redis", d.BytesIn, 100_000*(0.99*(260+70*0.5)+70*acks)+1_560_000, 1)
	if d.Shards != 11 || !d.Fits(a) {
		t.Errorf("%d shards, fits %v; want 5.25 cores on 11 shards of half a core", d.Shards, d.Fits(a))
	}
}

func TestDemandNamesWhatIsImpossible(t *testing.T) {
	table := NewModel(newSynthetic(0).whole()).demandTable(Assumptions{})
	if len(table.Rows) != 18 {
		t.Fatalf("%d rows, want one for each of 2 · 3 sizes and 3 arms", len(table.Rows))
	}
	for _, row := range table.Rows {
		if impossible := strings.HasPrefix(row[5], "impossible"); impossible != (row[2] == "broadcast") {
			t.Errorf("row %v", row)
		}
	}
}
