package registry

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// BenchmarkClaim claims and releases addresses, many at once.
func BenchmarkClaim(b *testing.B) {
	a := startNode(b, single(redistest.Start(b)), "a", Options{})
	var next atomic.Int64
	b.SetParallelism(256)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var l Lease
			if _, err := a.Claim(b.Context(), &l, "client"+strconv.FormatInt(next.Add(1), 10)); err != nil {
				b.Error(err)
				return
			}
			a.Release(&l)
		}
	})
}

// BenchmarkRefresh refreshes one lease of 10,000 an operation, as ticks do.
func BenchmarkRefresh(b *testing.B) {
	a := startNode(b, single(redistest.Start(b)), "a", Options{})
	claimMany(a, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += len(a.wheel.slots[0]) {
		a.refresher.tick(b.Context())
	}
}

// BenchmarkSettled asks for the proof that an empty answer needs.
func BenchmarkSettled(b *testing.B) {
	a := startNode(b, single(redistest.Start(b)), "a", Options{})
	for b.Loop() {
		if _, err := a.Settled(b.Context(), "alice"); err != nil {
			b.Fatal(err)
		}
	}
}
