package router

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// unnumbered is targeted delivery without links, for comparison: what gathers for
// the owner travels in one PUBLISH, and nobody numbers, keeps or acknowledges it. It
// knows its one owner.
type unnumbered struct {
	r     *Router
	owner string
	room  []byte // of the payload, which is only lent
}

func (*unnumbered) open(context.Context, string) error { return nil }
func (*unnumbered) close(string)                       {}

func (w *unnumbered) send(p *pending) {
	r := w.r
	if len(r.posts) == 0 {
		h := r.header()
		r.posts = append(r.posts, post{
			channel: r.keys.Channel(w.owner),
			payload: link.AppendHeader(w.room[:0], &h), then: func(int64, error) {},
		})
	}
	last := &r.posts[len(r.posts)-1]
	last.payload = p.encode(last.payload, true)
	last.envelopes++
	w.room = last.payload
	p.conclude(r, Published)
	r.reuse(p)
}

// counter is a session that lets one more message out for each that it gets.
type counter struct{ slots chan struct{} }

func (s counter) Deliver(*Message) Outcome { <-s.slots; return Delivered }
func (counter) Evict(string, error)        {}

// BenchmarkLinks measures what numbering, keeping and acknowledging cost, and signing: processor
// time of both nodes for a message without a receipt, at saturation.
func BenchmarkLinks(b *testing.B) {
	b.Run("on", func(b *testing.B) { benchLinks(b, nil, func(*Router) {}) })
	b.Run("signed", func(b *testing.B) { benchLinks(b, withKey(registry.Allow), func(*Router) {}) })
	b.Run("off", func(b *testing.B) {
		benchLinks(b, nil, func(r *Router) { r.way = &unnumbered{r: r, owner: "n1"} })
	})
}

func benchLinks(b *testing.B, opts func(*Options), change func(*Router)) {
	b.ReportAllocs()
	c := newCluster(b, 2, opts)
	r := c.node(0).Router
	slots := make(chan struct{}, 512)
	if err := c.node(1).Join(b.Context(), "bob", counter{slots}); err != nil {
		b.Fatal(err)
	}
	slots <- struct{}{}
	c.node(0).wantOutcome("bob", "so that the owner is cached", Delivered)
	r.mu.Lock()
	change(r)
	r.release()
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
