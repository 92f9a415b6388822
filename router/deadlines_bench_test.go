package router

import (
	"strconv"
	"testing"
	"time"
)

// BenchmarkDeadlines measures a deadline that is set and then done, while 20,000 receivers
// are absent and looked up again later.
func BenchmarkDeadlines(b *testing.B) {
	for _, absent := range []int{0, 20_000} {
		b.Run(strconv.Itoa(absent)+" absent", func(b *testing.B) {
			b.ReportAllocs()
			r := newCluster(b, 1, nil).node(0).Router
			r.mu.Lock()
			for i := range absent {
				r.afterFunc(time.Hour+time.Duration(i)*time.Millisecond, func() {})
			}
			r.release()
			due := 0
			for b.Loop() {
				r.mu.Lock()
				r.afterFunc(0, func() { due++ })
				r.release()
				r.sweepOnce()
			}
			if due < b.N {
				b.Errorf("%d of %d deadlines were done", due, b.N)
			}
		})
	}
}
