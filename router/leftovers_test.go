package router

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wantNothingPending waits until no node that lives keeps anything of a message.
func wantNothingPending(t *testing.T, c *cluster) {
	t.Helper()
	for _, n := range c.nodes {
		if !n.gone.Load() {
			n.wantNothingPending()
		}
	}
}

func (n *testNode) wantNothingPending() {
	n.t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		if left = append(n.leftOfRoom(), n.leftOfRoutes()...); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s still has %v", n.opts.NodeID, left)
		}
	}
}

// leftOfRoom returns what messages still count in.
func (n *testNode) leftOfRoom() (left []string) {
	note := func(what string, count int) {
		if count != 0 {
			left = append(left, fmt.Sprintf("%d %s", count, what))
		}
	}
	count, bytes := n.pendingMessages()
	note("messages of the room", count)
	note("bytes of the room", bytes)
	noteShares := func(what string, t *shares) {
		for _, s := range t.of {
			note(what+" of "+s.client, int(s.messages.Load()))
			note(what+"' bytes of "+s.client, int(s.bytes.Load()))
		}
		note(what+" taken for busy", len(t.of)-t.idle)
	}
	for i := range n.room.senders {
		part := &n.room.senders[i].mu
		part.Lock()
		noteShares("senders", &part.shares)
		part.Unlock()
	}
	for _, s := range n.shards {
		s.lock()
		note("pending", s.pending.count)
		note("receipts", len(s.receipts))
		note("calls", len(s.calls))
		noteShares("receivers", &s.receivers)
		s.mu.Unlock()
	}
	n.dedup.mu.Lock()
	note("repeats under way", len(n.dedup.underWay))
	n.dedup.mu.Unlock()
	return left
}

// leftOfRoutes returns the routes that something waits on, or is said to.
func (n *testNode) leftOfRoutes() (left []string) {
	for _, s := range n.shards {
		s.lock()
		for address, rt := range s.routes {
			h := &rt.handovers
			if !rt.idles() || rt.waits() || rt.covered != 0 || len(h.items) > 0 || h.fallbacks != 0 || rt.repairing.Load() {
				left = append(left, fmt.Sprintf("a route to %s in state %d, %d in flight, %d waiting, %d back, handovers %d, fallbacks %d",
					address, rt.state, rt.inflight, len(rt.waiting), len(rt.back), h.state, h.fallbacks))
			}
			if !rt.lruNode.in {
				left = append(left, "a route to "+address+" that is not in the list of those that are idle")
			}
		}
		if len(s.handovers) > 0 {
			left = append(left, "handovers")
		}
		s.mu.Unlock()
	}
	return left
}

// fickle is a session that takes a message, or has no room for it, or is about to close. What
// it is to confirm it confirms, or drops, or forgets.
type fickle struct {
	n     *testNode
	words chan func()
}

func (s *fickle) Evict(string, error) {}

func (s *fickle) Deliver(m *Message) Outcome {
	switch rand.IntN(16) {
	case 0:
		return Overloaded
	case 1:
		return Offline
	}
	if m.Confirm {
		client, id := string([]byte(m.To)), m.ID
		word := []func(){func() { s.n.Confirm(client, id) }, func() { s.n.Drop(client, id) }, func() {}}[rand.IntN(3)]
		select {
		case s.words <- word:
		default:
		}
	}
	return Delivered
}

// storm is messages of all kinds that one node sends.
type storm struct {
	n        *testNode
	sent     atomic.Int64
	outcomes sync.Map // *atomic.Int32 for each message
}

// send sends a message of some kind to one of the receivers.
func (s *storm) send(from string, to []string) {
	x := new(atomic.Int32)
	s.outcomes.Store(x, nil)
	s.sent.Add(1)
	m := Message{
		From: from, To: to[rand.IntN(len(to))], Data: make([]byte, rand.IntN(64)),
		Confirm: rand.IntN(4) == 0, Droppable: rand.IntN(4) == 0, Crowded: rand.IntN(4) == 0, Receipt: rand.IntN(2) == 0,
	}
	if rand.IntN(4) == 0 {
		m.Data, m.Ref = []byte("again"), []byte{byte(rand.IntN(8))}
	}
	if rand.IntN(16) == 0 {
		m.Data = make([]byte, 3*maxRoom)
	}
	s.n.Router.Send(m, func(MessageID, Outcome) { x.Add(1) })
	if rand.IntN(8) == 0 {
		s.n.Flush()
	}
}

// check wants each message to have exactly one outcome.
func (s *storm) check(t *testing.T) {
	t.Helper()
	wrong := 0
	s.outcomes.Range(func(x, _ any) bool {
		if x.(*atomic.Int32).Load() != 1 {
			wrong++
		}
		return true
	})
	if wrong > 0 {
		t.Errorf("%d of %d messages do not have exactly one outcome", wrong, s.sent.Load())
	}
}

// Whatever becomes of messages, each has one outcome, and then nothing of it is left: no
// count of it, no place on a route, nothing that a later one would wait for. Sessions refuse,
// clients confirm and drop, deadlines come, a peer is suspect and lives, and one dies.
// At last the node is stopped while others still send.
func TestNothingIsLeftOfMessages(t *testing.T) {
	const senders, rounds, messages = 6, 12, 40
	c := newHastyCluster(t, 3, func(o *Options) { o.MaxPendingBytes, o.lazyAck = 1<<16, 10*time.Millisecond })
	n := c.node(0)
	words := make(chan func(), 1<<10)
	to := []string{"here", "there", "both", "doomed", "everywhere", "nobody"}
	for client, nodes := range map[string][]int{"here": {0}, "there": {1}, "both": {0, 1}, "doomed": {2}, "everywhere": {0, 1, 2}} {
		for _, i := range nodes {
			c.node(i).join(client, &fickle{c.node(i), words})
		}
	}
	stop := make(chan struct{})
	var beside sync.WaitGroup
	defer beside.Wait()
	halt := sync.OnceFunc(func() { close(stop) })
	defer halt()
	beside.Go(func() {
		for {
			select {
			case word := <-words:
				word()
				n.Flush()
			case <-stop:
				return
			}
		}
	})
	s := &storm{n: n}
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range senders {
			wg.Go(func() {
				for range messages {
					s.send(fmt.Sprint("sender ", i), to)
				}
				n.Flush()
			})
		}
		wg.Go(func() {
			switch round % 4 {
			case 1:
				n.expire()
			case 2:
				p := n.suspend("n1")
				n.expire()
				n.resume(p)
				n.flush()
			case 3:
				n.leaseUntil.Store(0) // until the next heartbeat the sessions here get theirs at once
				n.OnLeaseLost()
			}
			if round == rounds/2 {
				c.node(2).die()
			}
		})
		wg.Wait()
	}
	until(t, "all have outcomes", func() bool {
		n.expire()
		count, _ := n.pendingMessages()
		return count == 0
	})
	wantNothingPending(t, c)
	s.check(t)

	last := &storm{n: n}
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for range messages * rounds {
				last.send(fmt.Sprint("sender ", i), to)
			}
			n.Flush()
		})
	}
	until(t, "some are under way", func() bool { return last.sent.Load() > senders*messages })
	n.stop()
	wg.Wait()
	halt()
	beside.Wait()
	last.check(t)
	if left := n.leftOfRoom(); len(left) > 0 {
		t.Errorf("the node is stopped and has %v", left)
	}
}
