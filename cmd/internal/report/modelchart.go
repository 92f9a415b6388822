package report

import "fmt"

// modelCharts draw what was measured and, dashed, what the model says of more nodes.
func modelCharts(run *Run) []chart {
	m := NewModel(run)
	if len(m.Arms) == 0 {
		return nil
	}
	var all []chart
	for _, me := range measures()[:2] {
		if c, ok := m.growthChart(run, me); ok {
			all = append(all, c)
		}
	}
	if c, ok := m.coresChart(assumed()); ok {
		all = append(all, c)
	}
	return all
}

// perMessage returns what the model says of a figure in the workload Nodes;
// lookups are those of a hop.
func (am *ArmModel) perMessage(f Figure, nodes int, lookups float64) (float64, bool) {
	if f == cpu {
		n, ok1 := am.perMessage(NodeCPU, nodes, lookups)
		r, ok2 := am.perMessage(RedisCPU, nodes, lookups)
		return n + r, ok1 && ok2
	}
	u, ok := am.Units[f]
	return u.cost(am.Arm, f, traffic{nodes, am.Rate, apart(nodes), lookups * apart(nodes)}), ok
}

func (m *Model) growthChart(run *Run, me measure) (chart, bool) {
	c := chart{
		name:  "model-" + me.name,
		title: me.title + ": measured, and computed to 1,000 nodes",
		caption: "Solid with markers: measured. Dashed: the model. Targeted's shade reaches from owners remembered as " +
			"often as measured (the dashed line) to a lookup for each message.",
		x: axis{label: "nodes", log: true, ticks: []tick{{1, "1"}, {10, "10"}, {100, "100"}, {1000, "1,000"}}},
		y: axis{label: me.label, log: true},
	}
	cells := run.cells(Nodes)
	for i := range m.Arms {
		am := &m.Arms[i]
		computed := line{label: string(am.Arm), arm: am.Arm, dashed: true, plain: true}
		for _, n := range []int{1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1000} {
			low, ok := am.perMessage(me.figure, n, am.LookupsAHop)
			high, _ := am.perMessage(me.figure, n, max(1, am.LookupsAHop))
			if ok && low > 0 { // nothing has no place on a logarithmic axis
				computed.spots = append(computed.spots, spot{float64(n), band{low, low, high}})
			}
		}
		if len(computed.spots) == 0 {
			continue
		}
		measured := line{arm: am.Arm, solid: true}
		for _, s := range curve(cells, am.Arm, me.figure, growths()[0].at) {
			if s.y.low > 0 {
				measured.spots = append(measured.spots, s)
			}
		}
		c.lines = append(c.lines, computed)
		if len(measured.spots) > 0 {
			c.lines = append(c.lines, measured)
		}
	}
	return c, len(c.lines) > 0
}

// coresChart draws what Redis needs for the clients that are predicted.
func (m *Model) coresChart(a Assumptions) (chart, bool) {
	c := chart{
		name:  "model-redis-cores",
		title: "Cores of Redis for 1 and 100 million clients, computed",
		caption: "Targeted and subscribe divide theirs among the shards of a Redis Cluster; broadcast's channel is on one shard, " +
			"so above the grey line it can't be done.",
		x: axis{label: "nodes", log: true, ticks: []tick{{10, "10"}, {100, "100"}, {1000, "1,000"}}},
		y: axis{label: "cores of Redis", log: true},
	}
	for _, clients := range scaleClients() {
		for i := range m.Arms {
			am := &m.Arms[i]
			l := line{label: fmt.Sprintf("%s, %s", am.Arm, scaled(float64(clients), "")), arm: am.Arm, dashed: true}
			for _, n := range []int{10, 18, 32, 56, 100, 178, 316, 562, 1000} {
				if d := m.Demand(am, n, clients, a); d.Has[RedisCPU] && d.RedisCores > 0 {
					l.spots = append(l.spots, spot{float64(n), band{d.RedisCores, d.RedisCores, d.RedisCores}})
				}
			}
			if len(l.spots) > 0 {
				c.lines = append(c.lines, l)
			}
		}
	}
	limit := line{label: "one shard can"}
	for _, n := range []float64{10, 1000} {
		limit.spots = append(limit.spots, spot{n, band{a.RedisShare, a.RedisShare, a.RedisShare}})
	}
	ok := len(c.lines) > 0
	c.lines = append(c.lines, limit)
	return c, ok
}
