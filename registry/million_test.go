package registry

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

var (
	manyLeases = flag.Int("leases", 10_000, "leases that BenchmarkRefreshRound refreshes")
	manyNodes  = flag.Int("nodes", 5, "nodes that hold them")
	liveFor    = flag.Duration("live", 0, "how long BenchmarkRefreshRound lets the nodes' own clocks refresh")
)

// BenchmarkRefreshRound refreshes every lease of several nodes once an operation,
// in different ways. docs/performance.md has what it says about a million.
func BenchmarkRefreshRound(b *testing.B) {
	s := redistest.StartOwn(b)
	s.AwaitUptime()
	empty := readUsage(b, s).memory
	nodes, leases := fillNodes(b, s)
	b.Logf("%.0f bytes of Redis' memory a lease", (readUsage(b, s).memory-empty)/float64(*manyLeases))
	for _, size := range []int{1, 16, 64, 128, 512} {
		b.Run(fmt.Sprint("script/", size), func(b *testing.B) {
			measureRounds(b, s, nodes, leases, size, func(n *testNode, part []*Lease) error {
				var c calls
				c.refresh(n.Registry, part)
				if err := n.redis.Run(b.Context(), c.list); err != nil {
					return err
				}
				return c.list[0].Cmd.Err()
			})
		})
	}
	for _, size := range []int{64, 1024} {
		b.Run(fmt.Sprint("pexpire/", size), func(b *testing.B) {
			measureRounds(b, s, nodes, leases, size, func(n *testNode, part []*Lease) error {
				_, err := n.rdb.Pipelined(b.Context(), func(pipe redis.Pipeliner) error {
					for _, l := range part {
						pipe.PExpire(b.Context(), n.keys.Address(l.address), n.timing.LeaseTTL())
					}
					return nil
				})
				return err
			})
		})
	}
	if *liveFor > 0 {
		b.Run("live", func(b *testing.B) { measureLive(b, s, nodes) })
	}
}

// fillNodes starts the nodes and lets them claim their shares: in turn, so that
// what a node refreshes together lies apart in Redis' memory, as it will in life.
func fillNodes(b *testing.B, s *redistest.Server) (nodes []*testNode, leases [][]*Lease) {
	leases = make([][]*Lease, *manyNodes)
	for i := range *manyNodes {
		n := startNode(b, single(s), fmt.Sprintf("beeline-%d-0123456789ab", i), Options{Heartbeat: liveHeartbeat()})
		if *liveFor > 0 {
			n.keepBeating()
		}
		nodes = append(nodes, n)
	}
	var all sync.WaitGroup
	for j := range *manyLeases {
		n, l := nodes[j%len(nodes)], new(Lease)
		if j%10_000 == 0 {
			all.Wait() // the batchers' queues are bounded
		}
		all.Add(1)
		n.ClaimAsync(time.Time{}, l, fmt.Sprint("user-", j), Allow, func(_ []Owner, err error) {
			if err != nil {
				b.Error(err)
			}
			all.Done()
		})
		leases[j%len(nodes)] = append(leases[j%len(nodes)], l)
	}
	all.Wait()
	return nodes, leases
}

// liveHeartbeat is the default where the nodes' clocks are what is measured, and
// else so long that they are not in the way.
func liveHeartbeat() time.Duration {
	if *liveFor > 0 {
		return 2 * time.Second
	}
	return never
}

// measureRounds refreshes all leases b.N times, size of them at once.
func measureRounds(b *testing.B, s *redistest.Server, nodes []*testNode, leases [][]*Lease, size int,
	refresh func(*testNode, []*Lease) error) {
	if err := refresh(nodes[0], leases[0][:1]); err != nil { // loads the script
		b.Fatal(err)
	}
	before := readUsage(b, s)
	rounds := 0
	for b.Loop() {
		rounds++
		for i, n := range nodes {
			for share := leases[i]; len(share) > 0; share = share[min(len(share), size):] {
				if err := refresh(n, share[:min(len(share), size)]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	readUsage(b, s).report(b, before, "lease", float64(rounds**manyLeases))
}

// measureLive lets the nodes refresh by their own clocks.
func measureLive(b *testing.B, s *redistest.Server, nodes []*testNode) {
	refreshed := func() (n float64) {
		for _, node := range nodes {
			n += value(b, node.metrics.RefreshedLeases)
		}
		return n
	}
	begin, before, ownBefore := refreshed(), readUsage(b, s), ownCPU(b)
	time.Sleep(*liveFor)
	after := readUsage(b, s)
	after.report(b, before, "s", liveFor.Seconds())
	b.ReportMetric((refreshed()-begin)/liveFor.Seconds(), "leases/s")
	b.ReportMetric(float64((ownCPU(b)-ownBefore).Microseconds())/liveFor.Seconds(), "nodes-us/s")
}

// usage is what a server has done since its start.
type usage struct {
	cpu                       time.Duration
	commands, in, out, memory float64
}

func readUsage(t testing.TB, s *redistest.Server) usage {
	t.Helper()
	u := usage{cpu: redisCPU(t, s)}
	info, err := s.Client(t).Info(context.Background(), "stats", "memory").Result()
	must(t, err)
	for line := range strings.Lines(info) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, _ := strconv.ParseFloat(text, 64)
		switch name {
		case "total_commands_processed":
			u.commands = number
		case "total_net_input_bytes":
			u.in = number
		case "total_net_output_bytes":
			u.out = number
		case "used_memory":
			u.memory = number
		}
	}
	return u
}

// report gives what was used since before for each of n of unit.
func (u usage) report(b *testing.B, before usage, unit string, n float64) {
	b.ReportMetric(float64((u.cpu-before.cpu).Nanoseconds())/n, "redis-ns/"+unit)
	b.ReportMetric((u.commands-before.commands)/n, "commands/"+unit)
	b.ReportMetric((u.in-before.in)/n, "in-B/"+unit)
	b.ReportMetric((u.out-before.out)/n, "out-B/"+unit)
}
