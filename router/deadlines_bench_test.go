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
			s := newCluster(b, 1, nil).node(0).shards[0]
			set := func(d time.Duration, due func(time.Time)) {
				s.setDeadline(&deadline{due: due}, s.r.now().Add(d))
			}
			s.mu.Lock()
			for i := range absent {
				set(time.Hour+time.Duration(i)*time.Millisecond, func(time.Time) {})
			}
			s.mu.Unlock()
			due := 0
			for b.Loop() {
				s.lock()
				set(0, func(time.Time) { due++ })
				s.mu.Unlock()
				s.sweep(s.r.now())
			}
			if due < b.N {
				b.Errorf("%d of %d deadlines were done", due, b.N)
			}
		})
	}
}
