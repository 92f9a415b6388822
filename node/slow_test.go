package node

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/router"
)

// dropping has sessions whose queues of that size drop what may be dropped.
func dropping(queue int) func(*Options, *localExchange) {
	return func(o *Options, _ *localExchange) {
		o.SlowConsumer, o.MaxQueue, o.MaxMessage = DropOldest, queue, queue-queueSlack
	}
}

// filling makes a message longer.
var filling = strings.Repeat("x", 4000)

// sendDroppable sends a number in a message that may be dropped.
func (c *client) sendDroppable(to string, number int) {
	c.t.Helper()
	c.say(fmt.Sprintf(`{"type":"send","to":%q,"data":[%d,%q],"id":1,"droppable":true}`, to, number, filling))
}

// written takes what waits to be written to a session without a connection.
func (r *rig) written(s *session) *client {
	var b bytes.Buffer
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		part, _ := s.outputLocked()
		if part == nil {
			return &client{t: r.t, r: bufio.NewReader(&b), name: s.client}
		}
		b.Write(part)
		s.wroteLocked(len(part))
	}
}

func (r *rig) dropped() float64 { return testutil.ToFloat64(r.counts.drops[dropOldest]) }

// story is what a slow client is told.
type story struct {
	numbers []int
	gaps    map[int]int // messages missed, by the number of messages before
	missed  int
}

// readOn reads messages up to one with that number.
func (c *client) readOn(last int) story {
	c.t.Helper()
	s := story{gaps: map[int]int{}}
	for len(s.numbers) == 0 || s.numbers[len(s.numbers)-1] != last {
		var m struct {
			Type  string
			Data  []any
			Count int
		}
		text := c.want(ws.OpText, `{"type":"`)
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			c.t.Fatal(err)
		}
		switch m.Type {
		case "message":
			s.numbers = append(s.numbers, int(m.Data[0].(float64)))
		case "dropped":
			s.gaps[len(s.numbers)] += m.Count
			s.missed += m.Count
		}
	}
	return s
}

// wantOrder fails if messages came in another order, or not as often as they were
// sent.
func (s story) wantOrder(t *testing.T, sent int) {
	t.Helper()
	for i := 1; i < len(s.numbers); i++ {
		if s.numbers[i] <= s.numbers[i-1] {
			t.Fatalf("%d comes behind %d", s.numbers[i], s.numbers[i-1])
		}
	}
	if len(s.numbers)+s.missed != sent {
		t.Errorf("%d messages came and %d were missed, of %d", len(s.numbers), s.missed, sent)
	}
}

// A client that reads on after a while gets the latest, and is told what it missed
// where it misses it.
func TestDropOldest(t *testing.T) {
	const queue = 64 << 10
	n := start(t, dropping(queue))
	by := n.bystanders()
	slow := open(t, n.Addr(), "slow")
	sent := 0
	for n.dropped() < 500 {
		by.from.sendDroppable("slow", sent)
		by.from.wantReceipt("1", "delivered")
		sent++
		if queued := n.queued.Load(); queued > queue {
			t.Fatalf("%d bytes are queued, at most %d may be", queued, queue)
		}
	}
	by.wantUndisturbed()
	slow.want(ws.OpText, `{"type":"welcome"`)
	s := slow.readOn(sent - 1)
	s.wantOrder(t, sent)
	for at, count := range s.gaps {
		if at == 0 || s.numbers[at]-s.numbers[at-1] != count+1 {
			t.Errorf("told of %d between %v", count, s.numbers[at-1:at+1])
		}
	}
	eventually(t, "nothing waits", func() bool { return n.queued.Load() == 0 })
	by.from.sendDroppable("slow", sent)
	if s := slow.readOn(sent); s.missed > 0 {
		t.Errorf("told again of %d", s.missed)
	}
}

// What may not be dropped is refused, and makes no session close; it makes room for
// itself where others may be dropped.
func TestMessagesThatMayNotBeDropped(t *testing.T) {
	n := start(t, dropping(64<<10))
	s := newSession(n.Node, plain{}, &Identity{Client: "slow"})
	sent := 0
	deliver := func(droppable bool) router.Outcome {
		data := fmt.Appendf(nil, "[%d,%q]", sent, filling)
		sent++
		return s.Deliver(&router.Message{From: "a", To: "slow", Data: data, Droppable: droppable})
	}
	for n.dropped() == 0 {
		if o := deliver(true); o != router.Delivered {
			t.Fatalf("outcome %v of %d", o, sent-1)
		}
	}
	before, delivered := n.dropped(), map[int]bool{}
	for deliver(false) == router.Delivered {
		delivered[sent-1] = true
	}
	if n.dropped() == before {
		t.Error("nothing made room")
	}
	for range 10 {
		if o := deliver(false); o != router.Overloaded {
			t.Errorf("outcome %v of what finds no room", o)
		}
	}
	n.wantCount(n.counts.drops, dropSlow, 11)
	last := sent - 12
	story := n.written(s).readOn(last)
	story.wantOrder(t, sent)
	if len(story.numbers) != len(delivered) || !delivered[story.numbers[0]] || story.gaps[0] != story.missed {
		t.Errorf("got %v, missed %v; want %v", story.numbers, story.gaps, delivered)
	}
	if n.queued.Load() != 0 {
		t.Errorf("%d bytes are queued", n.queued.Load())
	}
}

// Under either rule a client is told of what was refused because it was too long, like of
// what its queue had no room for.
func TestMissedBecauseTooLong(t *testing.T) {
	for _, rule := range []SlowConsumer{DropOldest, Disconnect} {
		t.Run(string(rule), func(t *testing.T) {
			const queue = 64 << 10
			n := start(t, func(o *Options, x *localExchange) {
				dropping(queue)(o, x)
				o.SlowConsumer = rule
			})
			s := newSession(n.Node, plain{}, &Identity{Client: "missing"})
			deliver := func(length int) router.Outcome {
				data := fmt.Appendf(nil, "[1,%q]", strings.Repeat("x", length))
				return s.Deliver(&router.Message{From: "a", To: s.client, Data: data})
			}
			if o := deliver(queue); o != router.Overloaded {
				t.Errorf("outcome %v of what is longer than a queue", o)
			}
			n.wantCount(n.counts.drops, dropTooBig, 1)
			deliver(4000)
			if story := n.written(s).readOn(1); story.gaps[0] != 1 || story.missed != 1 {
				t.Errorf("missed %v before messages; want 1 before the first", story.gaps)
			}
		})
	}
}

// Under DropOldest, too, a client can't have more answers wait than its queue holds.
func TestAnswersThatFindNoRoom(t *testing.T) {
	n := start(t, dropping(64<<10))
	by := n.bystanders()
	flood := open(t, n.Addr(), "flood")
	defer flood.repeat(bytes.Repeat(frame(ws.OpPing, strings.Repeat("x", 125)), 100))()
	by.wantUndisturbed()
	eventually(t, "it is gone", func() bool { return n.table.size() == 2 && n.queued.Load() == 0 })
	by.wantUndisturbed()
	if got := testutil.ToFloat64(n.counts.closes[closedSlow]); got != 1 {
		t.Errorf("%v closed as slow consumers, want 1", got)
	}
}

// Without the rule, a message that may be dropped is like any other.
func TestDisconnectDropsNothing(t *testing.T) {
	n := start(t, nil)
	by := n.bystanders()
	openNarrow(t, n, "deaf")
	for n.x.members("deaf") == 1 {
		by.from.sendDroppable("deaf", 1)
		by.from.want(ws.OpText, `{"type":"receipt"`)
	}
	if n.dropped() > 0 {
		t.Errorf("%v were dropped", n.dropped())
	}
	if got := testutil.ToFloat64(n.counts.closes[closedSlow]); got != 1 {
		t.Errorf("%v closed as slow consumers, want 1", got)
	}
}

// When all queues together are full, those that are full make room, and nobody is closed.
func TestFullNodeDropsOldest(t *testing.T) {
	const total = 256 << 10
	n := start(t, func(o *Options, x *localExchange) {
		dropping(total)(o, x)
		o.MaxQueueTotal = total
	})
	by := n.bystanders()
	openNarrow(t, n, "deaf1")
	openNarrow(t, n, "deaf2")
	for n.dropped() == 0 {
		for _, to := range []string{"deaf1", "deaf2"} {
			by.from.sendDroppable(to, 1)
			by.from.wantReceipt("1", "delivered")
		}
		if queued := n.queued.Load(); queued > total {
			t.Fatalf("%d bytes are queued, at most %d may be", queued, total)
		}
	}
	if largest := max(queued(n.session("deaf1")), queued(n.session("deaf2"))); largest > total*3/4 {
		t.Errorf("a session has %d bytes of %d", largest, total)
	}
	by.from.send("deaf1", `"`+filling+`"`, "1")
	by.from.wantReceipt("1", "delivered")
}

// A client that reads nothing while much is sent to it disturbs no other.
func TestStalledReceiver(t *testing.T) {
	const rounds = 200
	for _, rule := range []SlowConsumer{Disconnect, DropOldest} {
		t.Run(string(rule), func(t *testing.T) {
			n := start(t, func(o *Options, _ *localExchange) {
				o.SlowConsumer, o.MaxQueue = rule, 64<<10+queueSlack
			})
			openNarrow(t, n, "stalled")
			flood := connect(t, n.Addr(), "flood")
			from := connect(t, n.Addr(), "from")
			var to []*client
			for i := range 5 {
				to = append(to, connect(t, n.Addr(), fmt.Sprint("to", i)))
			}
			for i := range rounds {
				for j := range 20 { // some may be dropped
					if flood.sendDroppable("stalled", i); j == 0 {
						flood.send("stalled", `"`+filling+`"`, "1")
					}
				}
				for _, c := range to {
					from.send(c.name, fmt.Sprint(i), fmt.Sprint(i))
				}
				for range 21 {
					flood.want(ws.OpText, `{"type":"receipt","id":1,"outcome":"`)
				}
				if queued := n.queued.Load(); queued > 128<<10 {
					t.Fatalf("%d bytes are queued", queued)
				}
			}
			for i := range rounds {
				for _, c := range to {
					c.wantMessage("from", fmt.Sprint(i))
					from.wantReceipt(fmt.Sprint(i), "delivered")
				}
			}
			if rule == DropOldest {
				if n.x.members("stalled") == 0 || n.dropped() == 0 {
					t.Errorf("the session has gone, or %v messages were dropped", n.dropped())
				}
			} else {
				eventually(t, "the session has gone", func() bool { return n.x.members("stalled") == 0 })
			}
		})
	}
}
