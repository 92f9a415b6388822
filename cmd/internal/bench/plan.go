package bench

import (
	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// The defaults leave two processors about half idle in the most expensive arm, so
// that what is measured is the cost of a message and not a queue.
type defaults struct {
	nodes, clients, size int
	rate                 float64
	share                float64

	// What the workloads grow over.
	manyNodes, manyClients, manySizes []int
	manyRates, manyShares             []float64

	idleClients, stormClients int
}

func fullDefaults() defaults {
	return defaults{
		nodes: 4, clients: 1000, size: 128, rate: 1000, share: 0.25,
		manyNodes: []int{1, 2, 4, 8, 16}, manyClients: []int{250, 1000, 4000}, manySizes: []int{128, 1024, 8192},
		manyRates: []float64{500, 2000}, manyShares: []float64{0.25, 0.5},
		idleClients: 4000, stormClients: 2000,
	}
}

func quickDefaults() defaults {
	return defaults{
		nodes: 3, clients: 200, size: 128, rate: 500, share: 0.25,
		manyNodes: []int{2, 4, 8}, manyClients: []int{200}, manySizes: []int{1024},
		manyRates: []float64{500}, manyShares: []float64{0.25},
		idleClients: 500, stormClients: 300,
	}
}

// What the growth over nodes has where nothing else is asked for.
const (
	// growthClients are few enough that each node knows the owner of each before it
	// is measured.
	growthClients = 320
	// growthSize is that of a message with some text. The rate is that of all nodes
	// together, so more nodes make quieter links, and on a quiet link each message has
	// an acknowledgement of its own, about 50 bytes, instead of a part of one.
	growthSize = 512
)

func (o *Options) defaults() defaults {
	if o.Quick {
		return quickDefaults()
	}
	return fullDefaults()
}

// plan lists the points of one repetition, for one arm.
func (o *Options) plan() []report.Point {
	d := o.defaults()
	base := report.Point{
		Nodes: first(o.Nodes, d.nodes), Clients: first(o.Clients, d.clients), MessageBytes: first(o.Sizes, d.size),
		RatePerSecond: first(o.Rates, d.rate), Distribution: o.Distribution, Seconds: o.Duration.Seconds(),
	}
	if len(o.URLs) > 0 {
		base.Nodes = len(o.URLs)
	}
	var points []report.Point
	for _, w := range o.Workloads {
		p := base
		p.Workload = w
		switch w {
		case report.Rate:
			points = append(points, vary(p, all(o.Rates, d.manyRates), func(p *report.Point) *float64 { return &p.RatePerSecond })...)
		case report.Saturation:
			p.RatePerSecond = 0
			points = append(points, p)
		case report.Nodes:
			p.Clients, p.MessageBytes = first(o.Clients, growthClients), first(o.Sizes, growthSize)
			points = append(points, vary(p, all(o.Nodes, d.manyNodes), func(p *report.Point) *int { return &p.Nodes })...)
		case report.Clients:
			p.MessageBytes = first(o.Sizes, growthSize) // as in the growth over nodes: the model needs both
			points = append(points, vary(p, all(o.Clients, d.manyClients), func(p *report.Point) *int { return &p.Clients })...)
		case report.Size:
			points = append(points, vary(p, all(o.Sizes, d.manySizes), func(p *report.Point) *int { return &p.MessageBytes })...)
		case report.Offline:
			points = append(points, vary(p, all(o.OfflineShares, d.manyShares), func(p *report.Point) *float64 { return &p.OfflineShare })...)
		case report.Idle:
			points = append(points, silent(p, first(o.Clients, d.idleClients)))
		case report.Storm:
			points = append(points, silent(p, first(o.Clients, d.stormClients)))
		case report.Churn, report.Kill:
			p.Nodes = o.severalNodes()
			points = append(points, p)
		default:
			points = append(points, p)
		}
	}
	return points
}

// silent is a point without messages.
func silent(p report.Point, clients int) report.Point {
	p.Clients, p.RatePerSecond, p.MessageBytes, p.Distribution = clients, 0, 0, ""
	return p
}

// schedule lists all points of the run in the order in which they are measured: of
// each repetition each load, and of each load each arm, whose order rotates so that
// none always comes first.
func (o *Options) schedule() []report.Point {
	var points []report.Point
	for repetition := range o.Repeat {
		for _, p := range o.plan() {
			for i := range o.Arms {
				p.Arm, p.Repetition = o.Arms[(i+repetition)%len(o.Arms)], repetition+1
				points = append(points, p)
			}
		}
	}
	return points
}

func vary[T any](p report.Point, values []T, field func(*report.Point) *T) []report.Point {
	points := make([]report.Point, len(values))
	for i, v := range values {
		points[i] = p
		*field(&points[i]) = v
	}
	return points
}

// first is what a workload takes that does not vary the parameter.
func first[T any](asked []T, initial T) T {
	if len(asked) > 0 {
		return asked[0]
	}
	return initial
}

func all[T any](asked, initial []T) []T {
	if len(asked) > 0 {
		return asked
	}
	return initial
}
