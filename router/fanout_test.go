package router

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// crowd joins so many sessions of client, beside those that there are.
func (n *testNode) crowd(client string, sessions int) (all []*testSession) {
	n.t.Helper()
	for range sessions {
		all = append(all, n.connect(client))
	}
	return all
}

// Every session of a client that has many gets every message, in the order sent, also
// while sessions leave and others come; it does not matter from where it is sent.
func TestManySessionsGetAllInOrder(t *testing.T) {
	for from := range 2 {
		t.Run("from node "+strconv.Itoa(from), func(t *testing.T) {
			c := newCluster(t, 2, nil)
			n := c.node(0)
			all := n.crowd("bob", 10*maxFront)
			var want []string
			var outcomes []<-chan Outcome
			for i := range 300 {
				if i%20 == 10 { // the first ones, too, so that others take their places
					all[i/20].leave()
				}
				want = append(want, strconv.Itoa(i))
				outcomes = append(outcomes, c.node(from).sendTo("bob", want[i]))
			}
			for _, o := range outcomes {
				c.node(0).want(o, Delivered)
			}
			for i, s := range all {
				if i >= 15 {
					s.wantGot(want...)
				}
				s.mu.Lock()
				for j := 1; j < len(s.got); j++ {
					before, _ := strconv.Atoi(s.got[j-1])
					if after, _ := strconv.Atoi(s.got[j]); after != before+1 {
						t.Errorf("session %d got %d after %d", i, after, before)
					}
				}
				s.mu.Unlock()
			}
			until(t, "nothing waits", func() bool { return n.fan.several.Load() == 0 })
			if n.fan.bytes != 0 || len(n.fan.of) != 0 {
				t.Errorf("%d bytes are counted, %d clients kept, with nothing waiting", n.fan.bytes, len(n.fan.of))
			}
		})
	}
}

// gate is a session that holds up whoever delivers to it until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	once    sync.Once
	got     atomic.Int64
}

func newGate() *gate { return &gate{open: make(chan struct{}), entered: make(chan struct{})} }

func (g *gate) Deliver(*Message) Outcome {
	g.once.Do(func() { close(g.entered) })
	<-g.open
	g.got.Add(1)
	return Delivered
}

func (*gate) Evict(string, error) {}

// join adds a session to a client that has some already.
func (n *testNode) join(client string, s Session) {
	n.t.Helper()
	if err := n.Join(n.t.Context(), client, s); err != nil {
		n.t.Fatal(err)
	}
}

// A delivery to many sessions holds up nobody but these: neither their sender, nor those
// who use the router, nor what another node sends.
func TestDeliveryToManyHoldsUpNobody(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	n.crowd("bob", maxFront)
	last := newGate()
	n.join("bob", last)
	ann := n.connect("ann")
	n.wantOutcome("bob", "x", Delivered)
	<-last.entered
	n.wantOutcome("ann", "1", Delivered)
	n.wantOutcome("bob", "y", Delivered)
	c.node(1).wantOutcome("bob", "z", Delivered)
	c.node(1).wantOutcome("ann", "2", Delivered)
	ann.wantGot("1", "2")
	close(last.open)
	until(t, "the last session has all", func() bool { return last.got.Load() == 3 })
}

// Nothing is delivered with a shard's lock held, whatever way it comes: for this node
// alone, to be confirmed, for owners on other nodes too, or while Redis is away.
func TestNothingIsDeliveredUnderAShardsLock(t *testing.T) {
	for name, m := range map[string]Message{
		"alone":     {From: "eve", To: "bob", Data: []byte("1")},
		"confirmed": {From: "eve", To: "bob", Data: []byte("1"), Confirm: true},
		"shared":    {From: "eve", To: "eve", Data: []byte("1")},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2, nil)
			n := c.node(0)
			there := c.node(1).connect("eve")
			held := newGate()
			n.join(m.To, held)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				n.Router.Send(m, nil)
				n.Flush()
			}()
			<-held.entered
			n.takeAllLocks()
			close(held.open)
			<-sent
			if m.To == "eve" {
				there.wantGot("1")
			}
		})
	}
}

// While Redis is away what waits is delivered here without the lock, too, and once.
func TestLocalFallbackHoldsNoLock(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.OwnerCache, o.MessageTimeout = -1, 4*patience })
	n := c.node(0)
	there := c.node(1).connect("bob")
	held := newGate()
	n.join("bob", held)
	c.redis.Pause()
	outcome := n.sendTo("bob", "1")
	<-held.entered
	n.takeAllLocks()
	close(held.open)
	n.want(outcome, Delivered)
	c.redis.Resume()
	there.wantGot("1")
	wantNothingPending(t, c)
	if got := held.got.Load(); got != 1 {
		t.Errorf("the session here got it %d times", got)
	}
}

// What waits for the sessions of one client is bounded: what finds no room is Overloaded,
// and no session gets it.
func TestWhatWaitsForManySessionsIsBounded(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) { o.MaxPendingBytes = 40 * (portionOverhead + 1) })
	n := c.node(0)
	first := n.crowd("bob", maxFront)[0]
	last := newGate()
	n.join("bob", last)
	delivered := 0
	for range 100 {
		out := n.sendTo("bob", "1")
		if <-out == Delivered {
			delivered++
		}
	}
	if delivered != 20 {
		t.Errorf("%d messages wait, want the 20 that are half of the room", delivered)
	}
	close(last.open)
	until(t, "the last session has them", func() bool { return int(last.got.Load()) == delivered })
	if got := len(first.got); got != delivered {
		t.Errorf("the first session got %d messages, want %d", got, delivered)
	}
	n.wantOutcome("bob", "2", Delivered)
}

// Where the first sessions have no room, one behind them decides.
func TestSessionBehindTheFirstCountsToo(t *testing.T) {
	c := newCluster(t, 1, nil)
	n := c.node(0)
	all := n.crowd("bob", 3*maxFront)
	for _, s := range all {
		s.full.Store(true)
	}
	n.wantOutcome("bob", "x", Overloaded)
	all[2*maxFront].full.Store(false)
	n.wantOutcome("bob", "y", Delivered)
	all[2*maxFront].wantGot("y")
}

// BenchmarkFanout measures a message to a client with 1,000 sessions here, until all of
// them have it.
func BenchmarkFanout(b *testing.B) {
	c := newCluster(b, 1, nil)
	n := c.node(0)
	var got atomic.Int64
	for range 1000 {
		if err := n.Join(b.Context(), "bob", &tally{&got}); err != nil {
			b.Fatal(err)
		}
	}
	m := Message{From: "alice", To: "bob", Data: benchMessage.Data}
	sent := int64(0)
	for b.Loop() {
		n.Router.Send(m, nil)
		sent++
		for got.Load() < 1000*sent {
			runtime.Gosched()
		}
	}
}

type tally struct{ n *atomic.Int64 }

func (c *tally) Deliver(*Message) Outcome { c.n.Add(1); return Delivered }
func (*tally) Evict(string, error)        {}

// A session that comes while messages wait gets every later one, also if another one has left
// meanwhile, so that there are as many sessions as before.
func TestSessionThatTakesAnothersPlaceGetsWhatIsSentThen(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	n.crowd("bob", maxFront)
	held := newGate()
	open := sync.OnceFunc(func() { close(held.open) })
	t.Cleanup(open)
	n.join("bob", held)
	leaves := n.connect("bob")
	n.wantOutcome("bob", "on its way", Delivered)
	<-held.entered
	n.wantOutcome("bob", "waiting", Delivered)
	leaves.leave()
	comes := n.connect("bob")
	n.wantOutcome("bob", "for the newcomer", Delivered)
	n.wantOutcome("bob", "and this", Delivered)
	open()
	comes.wantGot("for the newcomer", "and this")
}
