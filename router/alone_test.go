package router

import (
	"strconv"
	"testing"
	"time"
)

// closing is a session that takes nothing once its gate is open.
type closing struct{ *gate }

func (s closing) Deliver(m *Message) Outcome {
	s.gate.Deliver(m)
	return Offline
}

// A message that the sessions here have not taken has its outcome at its own deadline, and not
// at those of messages that were accepted while it was offered to them.
func TestMessageThatWasOfferedHereHasItsOutcomeInTime(t *testing.T) {
	const timeout = time.Minute
	c, clock := newSteppedCluster(t, 1, timeout)
	n := c.node(0)
	other := "bob"
	for i := 0; other == "bob" || n.shards.of(other) != n.shards.of("bob"); i++ {
		other = "nobody" + strconv.Itoa(i)
	}
	began := clock.Now()
	bob := closing{newGate()}
	n.join("bob", bob)
	c.redis.Pause()
	t.Cleanup(c.redis.Resume)
	first := make(chan Outcome, 1)
	go n.Send(Message{From: "tester", To: "bob"}, func(_ MessageID, o Outcome) { first <- o })
	<-bob.entered
	n.setClock(clock, began.Add(timeout/2))
	later := n.sendTo(other, "2")
	close(bob.open)
	until(t, "both wait", func() bool {
		count, _ := n.pendingMessages()
		return count == 2
	})
	n.setClock(clock, began.Add(timeout))
	n.want(first, Timeout)
	if len(later) > 0 {
		t.Error("the later message has met its deadline, too")
	}
	c.redis.Resume()
}
