package registry

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// BenchmarkClaim claims and releases an address an operation, 1024 on their way
// at once. Redis' own time is redis-ns/op.
func BenchmarkClaim(b *testing.B) {
	s := redistest.Start(b)
	a := startNode(b, single(s), "a", Options{})
	room, leases := make(chan *Lease, 1024), make([]Lease, 1024)
	for i := range leases {
		room <- &leases[i]
	}
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = "client" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	before := redisCPU(b, s)
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range b.N {
		l := <-room
		all.Add(1)
		a.ClaimAsync(time.Time{}, l, names[i%len(names)], Allow, func(_ []Owner, err error) {
			if err != nil {
				b.Error(err)
			}
			a.Release(l)
			room <- l
			all.Done()
		})
	}
	all.Wait()
	a.settleReleases()
	b.StopTimer()
	b.ReportMetric(float64(redisCPU(b, s)-before)/float64(b.N), "redis-ns/op")
}

// settleReleases returns when no release waits.
func (n *testNode) settleReleases() {
	n.claim("last")
}

// redisCPU returns how much CPU the server has used.
func redisCPU(t testing.TB, s *redistest.Server) (used time.Duration) {
	t.Helper()
	info, err := s.Client(t).Info(t.Context(), "cpu").Result()
	must(t, err)
	for line := range strings.Lines(info) {
		name, seconds, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			d, err := time.ParseDuration(seconds + "s")
			must(t, err)
			used += d
		}
	}
	return used
}

// BenchmarkRefresh refreshes one lease of 10,000 an operation, as ticks do.
func BenchmarkRefresh(b *testing.B) {
	a := startNode(b, single(redistest.Start(b)), "a", Options{})
	claimMany(a, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(a.wheel.slots[0]) {
		a.refresher.tick(b.Context(), 1)
	}
}

// BenchmarkSettled asks for the proof that an empty answer needs.
func BenchmarkSettled(b *testing.B) {
	a := startNode(b, single(redistest.Start(b)), "a", Options{})
	for b.Loop() {
		if _, err := a.ConfirmAbsent(b.Context(), "alice"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookup looks an address up an operation, 128 in a pipeline.
func BenchmarkLookup(b *testing.B) {
	s := redistest.Start(b)
	a := startNode(b, single(s), "a", Options{})
	a.claim("alice")
	addresses := slices.Repeat([]string{"alice"}, 128)
	b.ReportAllocs()
	before := redisCPU(b, s)
	for done := 0; done < b.N; done += len(addresses) {
		for _, answer := range a.LookupAll(b.Context(), addresses) {
			if answer.Err != nil || len(answer.Owners) != 1 {
				b.Fatal(answer)
			}
		}
	}
	b.ReportMetric(float64(redisCPU(b, s)-before)/float64(b.N), "redis-ns/op")
}
