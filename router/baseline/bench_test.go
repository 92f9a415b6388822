package baseline

import (
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// benchTurn is how many messages a busy event loop sends before it flushes.
const benchTurn = 32

// benchSession lets one more message out for each that it gets.
type benchSession struct{ slots chan struct{} }

func (s benchSession) Deliver(*router.Message) router.Outcome { <-s.slots; return router.Delivered }
func (benchSession) Evict(string, error)                      {}

// BenchmarkSend measures a message of 128 bytes from Send to its delivery on another node, with 512
// under way: processor time of both nodes.
func BenchmarkSend(b *testing.B) {
	for _, d := range deliveries {
		b.Run(string(d), func(b *testing.B) { benchSend(b, d, false) })
		b.Run(string(d)+" with receipts", func(b *testing.B) { benchSend(b, d, true) })
	}
}

func benchSend(b *testing.B, d router.Delivery, receipt bool) {
	b.ReportAllocs()
	c := newCluster(b, d, 2, nil)
	slots := make(chan struct{}, 512)
	if err := c.node(1).Join(b.Context(), "bob", benchSession{slots}); err != nil {
		b.Fatal(err)
	}
	r := c.node(0).Router
	m := router.Message{From: "alice", To: "bob", Data: make([]byte, 128), Receipt: receipt}
	before := processorTime(b)
	for i := 0; b.Loop(); i++ {
		slots <- struct{}{}
		r.Send(m, nil)
		if i%benchTurn == 0 || len(slots) == cap(slots) {
			r.Flush()
		}
	}
	r.Flush()
	for range cap(slots) {
		slots <- struct{}{}
	}
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
