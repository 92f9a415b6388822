package router

import (
	"strings"
	"testing"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

var benchMessage = Message{ID: MessageID{1, 2}, From: "alice", To: "bob", Data: []byte(`"` + strings.Repeat("x", 100) + `"`)}

func BenchmarkRecent(b *testing.B) {
	b.ReportAllocs()
	w := newIDWindows()
	for i := uint64(0); b.Loop(); i++ {
		if id := (MessageID{1, i}); !w.has(id) {
			w.add(id)
		}
	}
}

// benchTurn is how many messages a busy event loop sends before it flushes.
const benchTurn = 32

// BenchmarkSend measures a message from Send to its outcome, with 512 under way.
func BenchmarkSend(b *testing.B) {
	b.Run("cached", func(b *testing.B) { benchSend(b, &Options{}, 1) })
	b.Run("looked up", func(b *testing.B) { benchSend(b, &Options{OwnerCache: -1}, 1) })
	b.Run("local", func(b *testing.B) { benchSend(b, &Options{}, 0) })
}

func benchSend(b *testing.B, opts *Options, owner int) {
	b.ReportAllocs()
	c := newCluster(b, 2, func(o *Options) { o.OwnerCache = opts.OwnerCache })
	bob := newBenchSession(b, c.node(owner))
	r := c.node(0).Router
	slots := make(chan struct{}, 512)
	done := func(MessageID, Outcome) { <-slots }
	m := Message{From: "alice", To: bob, Data: benchMessage.Data, Receipt: true}
	for i := 0; b.Loop(); i++ {
		slots <- struct{}{}
		r.Send(m, done)
		if i%benchTurn == 0 || len(slots) == cap(slots) {
			r.Flush()
		}
	}
	r.Flush()
	for range cap(slots) {
		slots <- struct{}{}
	}
}

// noBus publishes nothing.
type noBus struct{ bus.Bus }

func (noBus) Flush() {}

// benchOutlet forgets what it is given.
type benchOutlet struct{ r *Router }

func (benchOutlet) Ready(string) bool       { return true }
func (o benchOutlet) Put(p bus.Publication) { o.r.publishing.reuseLocked(p.Tag.(*post)) }

// benchRoute is a router that has bob's owner cached, and publishes nothing.
func benchRoute(b testing.TB) (*Router, *peer) {
	c := newCluster(b, 1, nil)
	r := c.node(0).Router
	r.bus = noBus{r.bus}
	lookedUp(r, "bob", registry.Owner{NodeID: "n1", Token: "1"})
	p := r.peers.lockOrAdd("n1")
	defer p.mu.Unlock()
	return r, p
}

// lookedUp has the route to an address take that it was looked up and has those owners.
func lookedUp(r *Router, address string, owners ...registry.Owner) {
	s := r.shards.of(address)
	s.lock()
	defer s.unlockAndNotify()
	rt := s.routeTo(address)
	rt.on(s, routeEvent{kind: lookupStarted})
	rt.on(s, routeEvent{kind: lookupFound, owners: owners, complete: true})
}

// BenchmarkCacheHit measures Send with a cached owner, and the acknowledgement.
func BenchmarkCacheHit(b *testing.B) {
	b.ReportAllocs()
	r, l := benchRoute(b)
	m := Message{From: "alice", To: "bob", Data: benchMessage.Data}
	for i := 1; b.Loop(); i++ {
		r.Send(m, nil)
		if i%benchTurn == 0 {
			acknowledgeAll(r, l)
		}
	}
}

// BenchmarkGroupCommit measures the making of a PUBLISH of 32 messages, for each
// message, and their acknowledgement.
func BenchmarkGroupCommit(b *testing.B) {
	b.ReportAllocs()
	r, l := benchRoute(b)
	m := Message{From: "alice", To: "bob", Data: benchMessage.Data}
	for range benchTurn {
		r.Send(m, nil)
	}
	for i := 0; b.Loop(); i++ {
		if i%benchTurn != 0 {
			continue
		}
		l.do(r, (*link.Link).GoBack)
		r.Batches(benchOutlet{r})
	}
}

func acknowledgeAll(r *Router, p *peer) {
	r.Batches(benchOutlet{r})
	_, _, _, sent, _ := p.link.Numbers()
	r.in.acknowledged(p, link.Ack{Life: p.link.Life(), UpTo: sent - 1})
}

// BenchmarkInbox measures the taking of a batch of 32 messages, for each message.
func BenchmarkInbox(b *testing.B) {
	b.ReportAllocs()
	r := newCluster(b, 1, nil).node(0).Router
	if err := r.Join(b.Context(), "bob", sink{}); err != nil {
		b.Fatal(err)
	}
	in := newInbox(r)
	m := benchMessage
	for i := uint64(0); b.Loop(); i++ {
		if i%benchTurn != 0 {
			continue
		}
		batch := link.AppendHeader(nil, &link.Header{From: "n1", Life: 1, First: i + 1, Base: i + 1})
		for k := range uint64(benchTurn) {
			m.ID.Count = i + k
			batch = appendMessage(batch, &m, 0, 0, 1_700_000_000_000_000, noneAssumed)
		}
		in.handle(in.private, string(batch))
	}
}

// sink is a session that forgets.
type sink struct{}

func (sink) Deliver(*Message) Outcome { return Delivered }
func (sink) Evict(string, error)      {}

func newBenchSession(b *testing.B, n *testNode) string {
	if err := n.Join(b.Context(), "bob", sink{}); err != nil {
		b.Fatal(err)
	}
	return "bob"
}
