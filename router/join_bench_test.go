package router

import (
	"strconv"
	"testing"
	"time"
)

// BenchmarkJoin measures the first session of an address that comes and goes, with 256
// under way.
func BenchmarkJoin(b *testing.B) {
	b.ReportAllocs()
	r := newCluster(b, 1, nil).node(0).Router
	slots := make(chan struct{}, 256)
	before := processorTime(b)
	for i := 0; b.Loop(); i++ {
		slots <- struct{}{}
		address := strconv.Itoa(i)
		r.JoinAsync(time.Now().Add(patience), address, sink{}, func(err error) {
			if err != nil {
				b.Errorf("%s can't join: %v", address, err)
			}
			r.Leave(address, sink{})
			<-slots
		})
	}
	for range cap(slots) {
		slots <- struct{}{}
	}
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
