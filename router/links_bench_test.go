package router

import (
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// counter is a session that lets one more message out for each that it gets.
type counter struct{ slots chan struct{} }

func (s counter) Deliver(*Message) Outcome { <-s.slots; return Delivered }
func (counter) Evict(string, error)        {}

// BenchmarkLinks measures what a message costs with and without signing: processor
// time of both nodes for a message without a receipt, at saturation.
func BenchmarkLinks(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchLinks(b, nil) })
	b.Run("signed", func(b *testing.B) { benchLinks(b, withKey(registry.Allow)) })
}

func benchLinks(b *testing.B, opts func(*Options)) {
	b.ReportAllocs()
	c := newCluster(b, 2, opts)
	r := c.node(0).Router
	slots := make(chan struct{}, 512)
	if err := c.node(1).Join(b.Context(), "bob", counter{slots}); err != nil {
		b.Fatal(err)
	}
	slots <- struct{}{}
	c.node(0).wantOutcome("bob", "so that the owner is cached", Delivered)
	m := Message{From: "alice", To: "bob", Data: benchMessage.Data}
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
