package report

// part is a row of the table of unit costs: what an arm does with a message, and what
// of its units that costs.
type part struct {
	arm  Arm
	name string
	text func(f Figure, u Units) string
}

// parts lists the table's rows, but for those that all arms share.
func parts() []part {
	base := func(_ Figure, u Units) string {
		if u.Whole {
			return "in the hop"
		}
		return unit(u.Base)
	}
	grow := func(_ Figure, u Units) string { return unit(u.Grow) }
	ack := func(f Figure, u Units) string {
		if f.isCPU() {
			return "as a hop"
		}
		return unit(u.Ack)
	}
	lookup := func(_ Figure, u Units) string {
		if u.Assumed {
			return "as a hop"
		}
		return unit(u.Lookup)
	}
	return []part{
		{Targeted, "message on one node: read, delivered", base},
		{Targeted, "hop: publish, delivery at the owner", grow},
		{Targeted, "acknowledgement that leaves alone", ack},
		{Targeted, "lookup", lookup},
		{Broadcast, "message: read, published, delivered", base},
		{Broadcast, "filter: a node hears it and throws it away", grow},
		{Subscribe, "message on one node: read, published, delivered", base},
		{Subscribe, "hop: the same with the receiver on another node", grow},
	}
}

// unitTable shows the unit costs.
func (m *Model) unitTable() table {
	t := table{
		Title: "Measured cost per unit",
		Head:  []string{"arm", "unit", "node CPU µs", "Redis CPU µs", "into Redis, B", "out of Redis, B"},
		Left:  2,
	}
	for i := range m.Arms {
		am := &m.Arms[i]
		for _, p := range parts() {
			if p.arm == am.Arm {
				t.Rows = append(t.Rows, am.row(p))
			}
		}
	}
	if len(m.Arms) > 0 {
		wake := part{"", "waking a node that sleeps", func(f Figure, u Units) string {
			if f.isCPU() {
				return unit(u.Wake)
			}
			return "–"
		}}
		t.Rows = append(t.Rows, m.Arms[0].row(wake))
	}
	if m.HasRefresh {
		t.Rows = append(t.Rows, []string{string(Targeted), "lease, each second: refresh", "–", number(m.RefreshCPU), number(m.RefreshBytes), "–"})
	}
	return t
}

func (am *ArmModel) row(p part) []string {
	arm := string(p.arm)
	if arm == "" {
		arm = "all"
	}
	row := []string{arm, p.name}
	for _, f := range resources() {
		text := "–"
		if u, ok := am.Units[f]; ok {
			text = p.text(f, u)
		}
		row = append(row, text)
	}
	return row
}

// unit writes a unit cost. A hundredth of a microsecond or of a byte is the fit's noise.
func unit(v float64) string {
	if v < 0.01 {
		return "0"
	}
	return number(v)
}
