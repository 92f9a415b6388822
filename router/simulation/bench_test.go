package simulation

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// BenchmarkLargeCluster has a hundred nodes and ten thousand clients live for an hour, with
// a fault in each minute, and judges what became of their messages. It says how many
// simulated seconds go into a real one: go test ./router/simulation -run xxx -bench Large
// -benchtime 1x -timeout 0.
func BenchmarkLargeCluster(b *testing.B) {
	for b.Loop() {
		began := time.Now()
		r := Run(largePlan(time.Hour), nil)
		if r.Failed() {
			b.Fatal(r.Story())
		}
		b.ReportMetric(r.Time.Seconds()/time.Since(began).Seconds(), "simulated-s/s")
		b.ReportMetric(float64(r.Verdict.Messages), "messages")
		b.ReportMetric(float64(r.Verdict.Sessions), "sessions")
	}
}

// largePlan is that of a hundred nodes and ten thousand clients.
func largePlan(length time.Duration) Plan {
	p := Plan{
		Seed: 1, Nodes: 100, Clients: 10000, Names: 10000, Heartbeat: 2 * time.Second, Deadline: 5 * time.Second,
		Duplicates: registry.Allow, Replica: true, Slowest: 20 * time.Millisecond, Interval: 2 * time.Minute,
		Moves: 0.1, Confirm: 0.1, Repeat: 1, Length: length,
	}
	c := rand.New(rand.NewPCG(1, 2))
	kinds := Kinds()
	for at := time.Minute; at < length; at += time.Minute {
		p.Faults = append(p.Faults, Fault{At: at, Kind: kinds[len(p.Faults)%len(kinds)], Node: c.IntN(p.Nodes), For: between(c, 0, 10*time.Second)})
	}
	return p
}
