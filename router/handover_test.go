package router

import (
	"strconv"
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
