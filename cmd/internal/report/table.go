package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// table is what the terminal and the page show of a workload.
type table struct {
	Title string
	Note  string
	Head  []string
	Rows  [][]string
	Left  int // so many columns hold words; the others hold figures
}

// column is a figure with its heading.
type column struct {
	figure Figure
	head   string
}

// columns returns what is worth a column for a workload. Those without any figure
// are left out later.
func columns(w Workload) []column {
	wire := []column{
		{NodeCPU, "node CPU µs"}, {RedisCPU, "Redis CPU µs"},
		{RedisCommands, "Redis commands"}, {RedisBytesOut, "Redis out B"}, {Wasted, "wasted"},
	}
	speed := []column{
		{DeliveredPerSecond, "delivered/s"}, {LatencyP50, "p50 µs"}, {LatencyP99, "p99 µs"}, {LatencyP999, "p99.9 µs"}, {LatencyMax, "max µs"},
	}
	switch w {
	case Idle:
		return []column{{BytesPerConnection, "bytes/connection"}, {RefreshRedisCPU, "at rest, Redis CPU µs/client/s"}, {RefreshRedisBytesIn, "at rest, B/client/s"}}
	case Storm:
		return []column{{ConnectsPerSecond, "connects/s"}, {ConnectP99, "connect p99 µs"}, {BytesPerConnection, "bytes/connection"}}
	case Kill:
		return []column{{RecoverySeconds, "recovery s"}, {DeliveredPerSecond, "delivered/s"}, {LatencyP99, "p99 µs"}, {Lost, "lost"}, {Misanswered, "misanswered"}}
	case Churn:
		return append([]column{{DeliveredPerSecond, "delivered/s"}, {LatencyP50, "p50 µs"}, {LatencyP99, "p99 µs"}, {LatencyMax, "max µs"}}, wire...)
	case Nodes, Clients, Size, Offline:
		return append([]column{{LatencyP50, "p50 µs"}, {LatencyP99, "p99 µs"}}, wire...)
	default:
		return append(speed, wire[:2]...)
	}
}

// workloadTitle names a workload for people.
func workloadTitle(w Workload) string {
	switch w {
	case Nodes:
		return "Growth over nodes, at a fixed rate"
	case Rate:
		return "Open loop: a fixed rate"
	case Saturation:
		return "Saturation: as much as goes through"
	case Clients:
		return "Growth over clients, at a fixed rate"
	case Size:
		return "Growth over the size of messages, at a fixed rate"
	case Offline:
		return "Growing share of offline receivers"
	case Idle:
		return "Idle connections"
	case Storm:
		return "Connect storm: all clients connect at once"
	case Churn:
		return "Churn: clients move between nodes while messages fly"
	case Kill:
		return "A node is killed while messages fly"
	default:
		return string(w)
	}
}

// loadText says under what load a workload was measured.
func loadText(w Workload, l load) string { return strings.Join(loadParts(w, l), ", ") }

// loadParts returns a load's parts. Those of a workload's loads are always the same
// parts, in the same order; only their figures differ.
func loadParts(w Workload, l load) []string {
	var parts []string
	if l.nodes > 0 {
		parts = append(parts, plural(l.nodes, "node"))
	}
	if l.clients > 0 {
		parts = append(parts, count(float64(l.clients))+" clients")
	}
	if l.bytes > 0 {
		parts = append(parts, count(float64(l.bytes))+" B")
	}
	if l.rate > 0 {
		parts = append(parts, number(l.rate)+"/s")
	}
	if w == Offline {
		parts = append(parts, number(100*l.offline)+" % offline")
	}
	if l.distribution != "" {
		parts = append(parts, l.distribution)
	}
	return parts
}

// common returns the parts that all loads of a workload share, and of each load
// those that differ. If nothing differs, nothing is taken for common.
func common(w Workload, cells []*cell) (shared []string, own func(load) string) {
	shared = loadParts(w, cells[0].load)
	for _, c := range cells[1:] {
		parts := loadParts(w, c.load)
		shared = slices.DeleteFunc(shared, func(p string) bool { return !slices.Contains(parts, p) })
	}
	return shared, func(l load) string {
		return strings.Join(slices.DeleteFunc(loadParts(w, l), func(p string) bool { return slices.Contains(shared, p) }), ", ")
	}
}

// tables returns the tables of all workloads that were measured.
func tables(run *Run) []table {
	var all []table
	for _, w := range workloads() {
		if cells := run.cells(w); len(cells) > 0 {
			all = append(all, workloadTable(w, cells))
		}
	}
	return append(all, correctness(run))
}

func workloadTable(w Workload, cells []*cell) table {
	shared, own := common(w, cells)
	t := table{Title: workloadTitle(w), Left: 1}
	if len(shared) > 0 {
		t.Note = "Each with " + strings.Join(shared, ", ") + "."
	}
	if w == Kill {
		t.Note = strings.TrimSpace(t.Note + " Recovery is the time from the kill to the first sender who is told that a client of that node is offline; –: none was before its message's deadline.")
	}
	if w == Offline && slices.ContainsFunc(cells, func(c *cell) bool { return c.arm == Broadcast }) {
		t.Note = strings.TrimSpace(t.Note + " Under broadcast nobody knows who is offline: those senders wait for their messages' deadlines.")
	}
	if own(cells[0].load) != "" {
		t.Head, t.Left = append(t.Head, "load"), 2
	}
	t.Head = append(t.Head, "arm")
	shown := slices.DeleteFunc(columns(w), func(c column) bool {
		return !slices.ContainsFunc(cells, func(cell *cell) bool {
			_, ok := cell.band(c.figure)
			return ok
		})
	})
	for _, c := range shown {
		t.Head = append(t.Head, c.head)
	}
	marked := slices.ContainsFunc(cells, func(c *cell) bool { return c.leftOut() != "" })
	if marked {
		t.Head = append(t.Head, "left out")
	}
	for _, cell := range cells {
		var row []string
		if t.Left == 2 {
			row = append(row, own(cell.load))
		}
		row = append(row, string(cell.arm))
		for _, c := range shown {
			text := "–"
			if b, ok := cell.band(c.figure); ok {
				text = b.text()
			}
			row = append(row, text)
		}
		if marked {
			row = append(row, cell.leftOut())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// leftOut says how many repetitions are not among the figures, and why.
func (c *cell) leftOut() string {
	var why, parts []string
	late, reason := 0, ""
	for _, p := range c.points {
		for _, w := range slices.Concat(p.Faults, p.Marks) {
			if !slices.Contains(why, w) {
				why = append(why, w)
			}
		}
		if p.good() && p.Late != "" {
			late, reason = late+1, p.Late
		}
	}
	if c.bad() > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d: %s", c.bad(), len(c.points), strings.Join(why, "; ")))
	}
	if late > 0 {
		parts = append(parts, fmt.Sprintf("latencies of %d of %d: %s", late, len(c.points), reason))
	}
	return strings.Join(parts, "; ")
}

// correctness sums what became of the messages of all points, good or not.
func correctness(run *Run) table {
	t := table{Title: "What became of the messages, all workloads together", Head: []string{"arm"}, Left: 1}
	shown := []column{
		{Sent, "sent"}, {Delivered, "delivered"}, {OfflineReceipts, "offline, and told so"}, {Lost, "lost"},
		{Duplicated, "duplicated"}, {Misordered, "misordered"}, {Misrouted, "misrouted"},
		{Misanswered, "misanswered"},
	}
	for _, c := range shown {
		t.Head = append(t.Head, c.head)
	}
	for _, arm := range arms() {
		row := []string{string(arm)}
		any := false
		for _, c := range shown {
			sum, ok := 0.0, false
			for i := range run.Points {
				if v, has := run.Points[i].value(c.figure); has && run.Points[i].Arm == arm {
					sum, ok = sum+v, true
				}
			}
			any = any || ok
			if ok {
				row = append(row, count(sum))
			} else {
				row = append(row, "–")
			}
		}
		if any {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// WriteTable writes a run's tables for a terminal, and what is wrong with the run
// before them.
func WriteTable(w io.Writer, run *Run) error {
	out := &strings.Builder{}
	if bad := trouble(run); bad != "" {
		fmt.Fprintf(out, "%s\n\n", bad)
	}
	fmt.Fprintln(out, "Medians of the repetitions, with least and greatest; CPU, commands, bytes and wasted deliveries are per delivered message.")
	for _, t := range tables(run) {
		if len(t.Rows) == 0 {
			continue
		}
		fmt.Fprintf(out, "\n%s\n", strings.TrimSpace(t.Title+". "+t.Note))
		t.write(out)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (t *table) write(out io.Writer) {
	grid := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		fmt.Fprintf(grid, "  %s\n", strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	_ = grid.Flush() // a Builder takes everything
}
