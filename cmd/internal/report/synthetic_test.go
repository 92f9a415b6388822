package report

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// law is what a synthetic arm's messages cost.
type law func(t traffic) map[Figure]float64

// laws are shaped as the arms' real costs are.
func laws() map[Arm]law {
	return map[Arm]law{
		Targeted: func(t traffic) map[Figure]float64 {
			a, k, l, w := t.away, t.acks(), t.lookups, t.wakes(Targeted)
			return map[Figure]float64{NodeCPU: 30 + 40*(a+k) + 15*l + 170*w, RedisCPU: 45*(a+k) + 9*l + 11*w, RedisBytesIn: 260*a + 70*k + 70*l, RedisBytesOut: 235*a + 65*k + 60*l, Wasted: 0, RedisCommands: a + k + l}
		},
		Broadcast: func(t traffic) map[Figure]float64 {
			o, w := float64(t.nodes-1), t.wakes(Broadcast)
			return map[Figure]float64{NodeCPU: 70 + 10*o + 170*w, RedisCPU: 32 + 9*o + 11*w, RedisBytesIn: 240, RedisBytesOut: 215 + 215*o, Wasted: o, RedisCommands: 1}
		},
		Subscribe: func(t traffic) map[Figure]float64 {
			w := t.wakes(Subscribe)
			return map[Figure]float64{NodeCPU: 65 + 15*t.away + 170*w, RedisCPU: 40 + 11*w, RedisBytesIn: 255, RedisBytesOut: 250, Wasted: 0, RedisCommands: 1}
		},
	}
}

// synthetic is a run whose costs follow the laws, with so much noise.
type synthetic struct {
	Run
	random *rand.Rand
	noise  float64
}

func newSynthetic(noise float64) *synthetic {
	return &synthetic{random: rand.New(rand.NewPCG(1, 2)), noise: noise, Run: Run{
		Started:  time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC),
		Took:     7*time.Minute + 12*time.Second,
		Command:  "beeline bench --workloads nodes,clients,rate,idle --out report",
		Versions: map[string]string{"beeline": "v0.1", "go": "go1.26", "redis": "7.0.15"},
		Machine:  Machine{System: "Linux 6", Processor: "Some processor", Cores: 2, MemoryBytes: 8 << 30},
		Target:   "A private Redis and nodes as processes of this machine.",
	}}
}

func (s *synthetic) shaken(v float64) float64 { return v * (1 + s.noise*s.random.NormFloat64()) }

// add adds repetitions of a load for each arm.
func (s *synthetic) add(repetitions int, p Point, lookups float64) {
	for r := 1; r <= repetitions; r++ {
		for _, arm := range arms() {
			q := p
			q.Arm, q.Repetition, q.Seconds = arm, r, 10
			q.Distribution, q.Figures = "uniform", map[Figure]float64{}
			left := away(p.Nodes)
			if p.Workload == Nodes {
				left = apart(p.Nodes)
			}
			costs := laws()[arm](traffic{p.Nodes, p.RatePerSecond, left, lookups})
			for _, f := range slices.Sorted(maps.Keys(costs)) { // the same noise every time
				q.Figures[f] = s.shaken(costs[f])
			}
			if arm == Targeted {
				q.Figures[LookupsPerMessage] = lookups
			}
			messages := 10 * p.RatePerSecond
			q.Figures[Sent], q.Figures[Delivered], q.Figures[Lost] = messages, messages, 0
			q.Figures[Duplicated], q.Figures[Misordered], q.Figures[Misrouted] = 0, 0, 0
			q.Figures[DeliveredPerSecond] = s.shaken(p.RatePerSecond)
			s.latencies(&q)
			s.Points = append(s.Points, q)
		}
	}
}

// latencies gives a point a distribution with a tail.
func (s *synthetic) latencies(p *Point) {
	base := 60 + p.Figures[NodeCPU] + p.Figures[RedisCPU]
	for _, percent := range []float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.995, 100} {
		beyond := rarity(math.Min(percent, 99.999))
		p.Latencies = append(p.Latencies, Percentile{percent, s.shaken(base * (0.7 + 0.3*math.Log(beyond) + beyond/900))})
	}
	at := func(percent float64) float64 { v, _ := latencyAt(p.Latencies, percent); return v }
	p.Figures[LatencyP50], p.Figures[LatencyP99], p.Figures[LatencyP999] = at(50), at(99), at(99.9)
	p.Figures[LatencyMax] = p.Latencies[len(p.Latencies)-1].Micros
}

// whole fills a run with all workloads that are drawn or modelled.
func (s *synthetic) whole() *Run {
	for _, n := range []int{1, 2, 4, 8, 16} {
		s.add(3, Point{Workload: Nodes, Nodes: n, Clients: 1000, MessageBytes: 100, RatePerSecond: 2000}, 0.04*min(1, float64(n-1)))
	}
	for _, c := range []int{100, 1000, 10000} {
		s.add(3, Point{Workload: Clients, Nodes: 4, Clients: c, MessageBytes: 100, RatePerSecond: 2000}, float64(c)/12000)
	}
	s.add(3, Point{Workload: Rate, Nodes: 4, Clients: 1000, MessageBytes: 100, RatePerSecond: 2000}, 0.04)
	for r := 1; r <= 3; r++ {
		for _, arm := range arms() {
			s.Points = append(s.Points, Point{Workload: Idle, Arm: arm, Repetition: r, Nodes: 1, Clients: 10000, Figures: map[Figure]float64{
				BytesPerConnection: s.shaken(850), RefreshRedisCPU: s.shaken(0.17), RefreshRedisBytesIn: s.shaken(1.56),
			}})
		}
	}
	return &s.Run
}
