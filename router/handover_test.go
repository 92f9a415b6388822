package router

import (
	"strconv"
	"sync"
	"testing"
)

// hesitant is a session that does not take its first message the first time, like those
// of an address that is just joining.
type hesitant struct {
	*testSession
	asked bool
}

func (s *hesitant) Deliver(m *Message) Outcome {
	if !s.asked {
		s.asked = true
		return Offline
	}
	return s.testSession.Deliver(m)
}

// Messages that are handed over one behind the other keep their order: once the address
// does not take one, none of those behind it is delivered before it.
func TestHandoverKeepsTheOrderWhenOneIsNotTaken(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.OwnerCache = -1 })
	n := c.node(0)
	c.node(1).connect("bob") // so that the messages go by a route
	here := &hesitant{testSession: newTestSession(n, "bob")}
	n.join("bob", here)
	var outcomes []chan Outcome
	var want []string
	for i := range 5 {
		out := make(chan Outcome, 1)
		outcomes, want = append(outcomes, out), append(want, strconv.Itoa(i))
		m := Message{From: "tester", To: "bob", Data: []byte(want[i]), Receipt: true}
		n.Router.Send(m, func(_ MessageID, o Outcome) { out <- o })
	}
	n.Flush() // one lookup finds the owners of all
	for _, out := range outcomes {
		n.want(out, Delivered)
	}
	here.wantGot(want...)
	wantNothingPending(t, c)
}

// interrupted is a session that does not take the message of that number the first time, and
// has another one sent meanwhile.
type interrupted struct {
	*testSession
	number string
	asked  bool
	send   func()
}

func (s *interrupted) Deliver(m *Message) Outcome {
	if string(m.Data) == s.number && !s.asked {
		s.asked = true
		s.send()
		return Offline
	}
	return s.testSession.Deliver(m)
}

// So it is with what is put in while the one is handed over that is not taken.
func TestHandoverKeepsTheOrderOfWhatComesMeanwhile(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	c.node(1).connect("bob") // so that the messages go by a route
	here := &interrupted{testSession: newTestSession(n, "bob"), number: "1"}
	n.join("bob", here)
	second := make(chan Outcome, 1)
	here.send = func() {
		n.Router.Send(Message{From: "tester", To: "bob", Data: []byte("2"), Receipt: true}, func(_ MessageID, o Outcome) { second <- o })
	}
	n.wantOutcome("bob", "0", Delivered) // the owners are known now
	until(t, "all of them have it", func() bool { count, _ := n.pendingMessages(); return count == 0 })
	n.wantOutcome("bob", "1", Delivered)
	n.want(second, Delivered)
	here.wantGot("0", "1", "2")
}

// patient is a session that holds up whoever delivers the message of that number to it.
type patient struct {
	*testSession
	gate   *gate
	number int
}

func (s *patient) Deliver(m *Message) Outcome {
	if string(m.Data) == strconv.Itoa(s.number) {
		s.gate.Deliver(m)
	}
	return s.testSession.Deliver(m)
}

// Who has released a shard's lock hands over only so much of one route: then it goes on
// with its own work, here with the lookups of others, and nothing of the route is lost or
// passes another.
func TestManyHandoversHoldUpNobodyElse(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.OwnerCache = -1 })
	n := c.node(0)
	ann := c.node(1).connect("ann")
	c.node(1).connect("bob") // so that the messages go by a route
	const all = 3*handoverTurn + 1
	here := &patient{newTestSession(n, "bob"), newGate(), all - 1}
	open := sync.OnceFunc(func() { close(here.gate.open) })
	t.Cleanup(open)
	n.join("bob", here)
	held := make(chan struct{})
	free := sync.OnceFunc(func() { close(held) })
	defer free()
	n.client.AddHook(heldLookups(held))
	var outcomes []chan Outcome
	var want []string
	for i := range all {
		out := make(chan Outcome, 2)
		outcomes, want = append(outcomes, out), append(want, strconv.Itoa(i))
		n.Router.Send(Message{From: "tester", To: "bob", Data: []byte(want[i]), Receipt: true}, func(_ MessageID, o Outcome) { out <- o })
		if i == 0 {
			until(t, "a lookup for the first is under way", func() bool {
				rt, unlock := n.lockRoute("bob")
				defer unlock()
				return rt.covered == 1
			})
		}
	}
	free() // the next lookup finds the owners of all others
	<-here.gate.entered
	n.wantOutcome("ann", "x", Delivered)
	open()
	for _, out := range outcomes {
		n.want(out, Delivered)
	}
	here.wantGot(want...)
	ann.wantGot("x")
	wantNothingPending(t, c)
}
