package node

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

func TestRanksFollowSizes(t *testing.T) {
	for size := range 1 << 20 {
		if rankOf(size) > rankOf(size+1) {
			t.Fatalf("%d bytes rank higher than one more", size)
		}
		if larger := size + size/8 + 1; rankOf(size) == rankOf(larger) {
			t.Fatalf("%d and %d bytes have the same rank", size, larger)
		}
	}
	if rankOf(0) != 0 || rankOf(1) == 0 || rankOf(1<<62) != ranks-1 {
		t.Error("the ends of the ranks are wrong")
	}
}

// Whatever comes and goes, the one that is found is among the largest.
func TestLargestBacklogIsFound(t *testing.T) {
	var l backlogs
	sizes := map[*session]int{}
	all := make([]*session, 200)
	for i := range all {
		all[i] = new(session)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		s := all[random.IntN(len(all))]
		size := 0
		if random.IntN(3) > 0 {
			size = random.IntN(1 << random.IntN(20))
		}
		l.move(s, rankOf(sizes[s]), rankOf(size))
		sizes[s] = size
		largest := 0
		for _, size := range sizes {
			largest = max(largest, size)
		}
		if found, rank := l.largest(); rank != rankOf(largest) || rank > 0 && rankOf(sizes[found]) != rank {
			t.Fatalf("found %d bytes of rank %d; the largest has %d", sizes[found], rank, largest)
		}
	}
}

// crowd is a node whose queues together may hold so much.
func crowd(t *testing.T, rule SlowConsumer, total int) *rig {
	return start(t, func(o *Options, _ *localExchange) {
		o.SlowConsumer, o.MaxQueueTotal, o.MaxQueue, o.MaxMessage = rule, total, total, 64<<10
	})
}

// waiting returns a session without a connection for which so much waits.
func (r *rig) waiting(name string, size int, droppable bool) *session {
	r.t.Helper()
	s := newSession(r.Node, plain{}, &Identity{Client: name})
	for queued(s) < size {
		if o := r.deliver(s, 4000, droppable); o != router.Delivered {
			r.t.Fatalf("%s: outcome %v with %d bytes", name, o, queued(s))
		}
	}
	return s
}

func (r *rig) deliver(s *session, size int, droppable bool) router.Outcome {
	data := fmt.Appendf(nil, "[1,%q]", strings.Repeat("x", size))
	return s.Deliver(&router.Message{From: "a", To: s.client, Data: data, Droppable: droppable})
}

func TestLargestQueueIsClosedWhenTheNodeIsFull(t *testing.T) {
	for _, rule := range []SlowConsumer{Disconnect, DropOldest} {
		t.Run(string(rule), func(t *testing.T) {
			n := crowd(t, rule, 256<<10)
			hog := n.waiting("hog", 120<<10, false)
			var others []*session
			for i := range 5 {
				others = append(others, n.waiting(fmt.Sprint("other", i), 20<<10, false))
			}
			late := newSession(n.Node, plain{}, &Identity{Client: "late"})
			for range 8 {
				if o := n.deliver(late, 4000, false); o != router.Delivered {
					t.Fatalf("outcome %v", o)
				}
			}
			if hog.reason.load() != closedNodeQueue || closings[hog.reason.load()].code != ws.StatusPolicyViolation {
				t.Errorf("the largest is %v", hog.reason.load())
			}
			for _, s := range append(others, late) {
				if s.isClosing() {
					t.Errorf("%s is closed for %v", s.client, s.reason.load())
				}
			}
			if over := n.overfull(); over > 0 {
				t.Errorf("%d bytes too many are queued", over)
			}
		})
	}
}

func TestLargestQueueDropsFirstWhenTheNodeIsFull(t *testing.T) {
	for _, rule := range []SlowConsumer{Disconnect, DropOldest} {
		t.Run(string(rule), func(t *testing.T) {
			n := crowd(t, rule, 256<<10)
			hog, other := n.waiting("hog", 200<<10, true), n.waiting("other", 40<<10, true)
			late := newSession(n.Node, plain{}, &Identity{Client: "late"})
			for range 8 {
				if o := n.deliver(late, 4000, false); o != router.Delivered {
					t.Fatalf("outcome %v", o)
				}
			}
			if hog.isClosing() || hog.out.missed == 0 || other.out.missed > 0 || n.overfull() > 0 {
				t.Errorf("the largest is %v and has missed %d, the other %d; %d bytes too many", hog.reason.load(), hog.out.missed, other.out.missed, n.overfull())
			}
		})
	}
}

// Who is the largest itself makes room itself.
func TestLargestQueueGetsNothingWhenTheNodeIsFull(t *testing.T) {
	n := crowd(t, Disconnect, 256<<10)
	other := n.waiting("other", 40<<10, false)
	hog := n.waiting("hog", 200<<10, false)
	for !hog.isClosing() {
		n.deliver(hog, 4000, false)
	}
	n.wantCount(n.counts.drops, dropTotal, 1)
	if hog.reason.load() != closedNodeQueue || other.isClosing() {
		t.Errorf("the largest is %v, the other %v", hog.reason.load(), other.reason.load())
	}
	hog.abandon()
	if got := n.ending.Load(); got != 0 {
		t.Errorf("%d bytes are on their way out", got)
	}
}

// A message finds room in an empty queue even while nobody can make any.
func TestEmptyQueueTakesAMessageOnAFullNode(t *testing.T) {
	n := crowd(t, Disconnect, 128<<10)
	hog := n.waiting("hog", 120<<10, false)
	hog.mu.Lock()
	defer hog.mu.Unlock()
	for i := range 20 {
		s := newSession(n.Node, plain{}, &Identity{Client: fmt.Sprint("reader", i)})
		if o := n.deliver(s, 4000, false); o != router.Delivered {
			t.Errorf("outcome %v", o)
		}
	}
}

// Many clients that read nothing take no room from one that does.
func TestIdleReadersDoNotStarveBusyOnes(t *testing.T) {
	const total = 512 << 10
	for _, rule := range []SlowConsumer{Disconnect, DropOldest} {
		t.Run(string(rule), func(t *testing.T) {
			n := start(t, func(o *Options, _ *localExchange) { o.SlowConsumer, o.MaxQueueTotal = rule, total })
			by := n.bystanders()
			data := `"` + strings.Repeat("x", 30000) + `"`
			closed := n.counts.closes[closedNodeQueue]
			for round := 0; testutil.ToFloat64(closed) < 5; round++ {
				idle := fmt.Sprint("idle", round%20)
				if n.x.members(idle) == 0 {
					openNarrow(t, n, idle)
				}
				by.from.send(idle, data, "1")
				by.from.want(ws.OpText, `{"type":"receipt","id":1,"outcome":"`)
				by.wantUndisturbed()
				if over := n.overfull(); over > 0 {
					t.Fatalf("%d bytes too many are queued", over)
				}
			}
			by.wantUndisturbed()
		})
	}
}

// cutWire notes how it is cut.
type cutWire struct{ cuts, hard int }

func (*cutWire) flush(bool) {}
func (*cutWire) resume()    {}

func (w *cutWire) cut(hard bool) {
	w.cuts++
	if hard {
		w.hard++
	}
}

// A slow client has time to read why it is closed, but not if those that close hold much.
func TestClosingSessionsHoldLittle(t *testing.T) {
	n := crowd(t, Disconnect, 256<<10)
	for _, row := range []struct{ ending, hard int }{{0, 0}, {64 << 10, 0}, {64<<10 + 200, 1}} {
		s, w := n.waiting("slow", 20<<10, false), &cutWire{}
		s.mu.Lock()
		s.wire = w
		n.ending.Add(int64(row.ending) - 100) // and the close frame
		s.shutLocked(closedSlow, nil)
		n.ending.Add(100 - int64(row.ending))
		s.conn = connReleased
		s.discardLocked()
		s.mu.Unlock()
		if w.cuts != row.hard || w.hard != row.hard {
			t.Errorf("with %d bytes on their way out, cut %d times, %d hard; want %d", row.ending, w.cuts, w.hard, row.hard)
		}
	}
}
