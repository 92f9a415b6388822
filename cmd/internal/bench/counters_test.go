package bench

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestFiguresAreDifferencesForEachMessage(t *testing.T) {
	before := reading{
		nodes: []time.Duration{time.Second, 2 * time.Second}, redis: time.Second,
		server: redisCounters{commands: 100, in: 1000, out: 10_000}, askedIn: 30, askedOut: 500,
		metrics: nodeCounters{wasted: 1, lookups: 2, publishes: 3},
		hasCPU:  true, hasMetrics: true, hasServer: true,
	}
	after := reading{
		nodes: []time.Duration{time.Second + 3*time.Millisecond, 2*time.Second + 5*time.Millisecond}, redis: time.Second + 2*time.Millisecond,
		server:  redisCounters{commands: 151, in: 1530, out: 11_500},
		metrics: nodeCounters{wasted: 101, lookups: 12, publishes: 53},
		hasCPU:  true, hasMetrics: true, hasServer: true,
	}
	all := map[report.Figure]float64{
		report.NodeCPU: 160, report.RedisCPU: 40,
		report.RedisCommands: 1, report.RedisBytesIn: 10, report.RedisBytesOut: 20, // asking is not the messages'
		report.Wasted: 2, report.LookupsPerMessage: 0.2, report.PublishesPerMessage: 1,
	}
	without := func(left ...report.Figure) map[report.Figure]float64 {
		rest := maps.Clone(all)
		for _, f := range left {
			delete(rest, f)
		}
		return rest
	}
	for name, test := range map[string]struct {
		change   func(b *reading)
		messages int64
		want     map[report.Figure]float64
	}{
		"all is known":      {func(*reading) {}, 50, all},
		"nothing was sent":  {func(*reading) {}, 0, map[report.Figure]float64{}},
		"no processor time": {func(b *reading) { b.hasCPU = false }, 50, without(report.NodeCPU, report.RedisCPU)},
		"no Redis":          {func(b *reading) { b.hasServer = false }, 50, without(report.RedisCommands, report.RedisBytesIn, report.RedisBytesOut)},
		"no metrics":        {func(b *reading) { b.hasMetrics = false }, 50, without(report.Wasted, report.LookupsPerMessage, report.PublishesPerMessage)},
	} {
		b := after
		test.change(&b)
		got := map[report.Figure]float64{}
		perMessage(got, &before, &b, test.messages)
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// A node that was killed took its processor time with it.
func TestProcessorTimeOfAKilledNodeIsNotSubtracted(t *testing.T) {
	before := reading{nodes: []time.Duration{time.Second, time.Minute}}
	after := reading{nodes: []time.Duration{3 * time.Second, 0}}
	if got := after.nodesSince(&before); got != 2*time.Second {
		t.Errorf("the nodes took %v, want the 2s of the one that lives", got)
	}
}

func TestMetricsOfNodesAreAdded(t *testing.T) {
	const node = "# HELP beeline_lookups_total x\nbeeline_lookups_total 3\nbeeline_lookups_total_more 9\n" +
		"beeline_wasted_deliveries_total 1e+06\nbeeline_publishes_total 4\nother 5\n"
	var sum nodeCounters
	for range 2 {
		if err := sum.add(strings.NewReader(node)); err != nil {
			t.Fatal(err)
		}
	}
	if sum != (nodeCounters{wasted: 2e6, lookups: 6, publishes: 8}) {
		t.Errorf("sums %+v", sum)
	}
	for text, want := range map[string]string{
		"": "not a beeline node's",
		"beeline_lookups_total 3\nbeeline_publishes_total 4\n": "not a beeline node's",
		strings.Replace(node, "total 3", "total three", 1):     "three",
	} {
		if err := new(nodeCounters).add(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is taken with %v, want %q", text, err, want)
		}
	}
}

// What asking adds to Redis' counters is known to a few bytes.
func TestAskingRedisIsNotAMessage(t *testing.T) {
	server := redistest.StartOwn(t)
	g, err := newGauge(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	read := func(read func(context.Context) (reading, error)) *reading {
		r, err := read(t.Context())
		if err != nil || !r.hasServer || r.hasCPU || r.hasMetrics {
			t.Fatalf("%+v, %v", r, err)
		}
		return &r
	}
	before, after := read(g.before), read(g.after)
	got := map[report.Figure]float64{}
	perMessage(got, before, after, 1)
	if got[report.RedisCommands] != 0 || got[report.RedisBytesIn] != 0 || got[report.RedisBytesOut] < -8 || got[report.RedisBytesOut] > 8 {
		t.Errorf("without messages Redis did %v", got)
	}
}
