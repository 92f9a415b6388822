package node

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// ask sends a message that is to be confirmed.
func (c *client) ask(to, data, id string) {
	c.t.Helper()
	c.say(fmt.Sprintf(`{"type":"send","to":%q,"data":%s,"id":%s,"confirm":true}`, to, data, id))
}

// wantAsked reads a message that asks for an ack, and returns its id.
func (c *client) wantAsked(from, data string) (id string) {
	c.t.Helper()
	var m struct {
		From, ID string
		Confirm  bool
		Data     json.RawMessage
	}
	text := c.want(ws.OpText, `{"type":"message"`)
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.From != from || !m.Confirm || string(m.Data) != data {
		c.t.Fatalf("%s: got %s, %v; want %s of %s, to be confirmed", c.name, text, err, data, from)
	}
	return m.ID
}

func (c *client) ack(id string) { c.t.Helper(); c.say(fmt.Sprintf(`{"type":"ack","id":%q}`, id)) }

func TestConfirmedMessage(t *testing.T) {
	n := start(t, nil)
	alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
	alice.ask("bob", `"read me"`, `"x"`)
	id := bob.wantAsked("alice", `"read me"`)
	alice.say(`{"type":"ping"}`)
	alice.want(ws.OpText, `{"type":"pong"}`) // and no receipt before
	bob.ack(id)
	alice.wantReceipt(`"x"`, "confirmed")
	bob.ack(id) // again: nobody waits
	alice.ask("nobody", `1`, `2`)
	alice.wantReceipt(`2`, "offline")
	alice.say(`{"type":"send","to":"bob","data":1,"id":3,"confirm":false,"droppable":false}`)
	bob.wantMessage("alice", "1")
	alice.wantReceipt(`3`, "delivered")
}

func TestConfirmedBetweenNodes(t *testing.T) {
	redis := redistest.Start(t)
	a, b := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil)
	alice, bob, here := connect(t, a.Addr(), "alice"), connect(t, b.Addr(), "bob"), connect(t, a.Addr(), "here")
	for i := range 20 {
		number := fmt.Sprint(i)
		for _, to := range []*client{bob, here} {
			alice.ask(to.name, number, number)
			to.ack(to.wantAsked("alice", number))
			alice.wantReceipt(number, "confirmed")
		}
	}
}

// Two clients that wait for each other's acks are both read.
func TestClientsThatConfirmEachOther(t *testing.T) {
	const sends = 2 * maxInFlight
	n := start(t, nil)
	a, b := connect(t, n.Addr(), "a"), connect(t, n.Addr(), "b")
	outcomes := make(chan string, 2*sends)
	var reading sync.WaitGroup
	for c, to := range map[*client]string{a: "b", b: "a"} {
		var all []byte
		for i := range sends {
			all = append(all, frame(ws.OpText, fmt.Sprintf(`{"type":"send","to":%q,"data":1,"id":%d,"confirm":true}`, to, i))...)
		}
		reading.Go(func() { c.conn.Write(all) })
		reading.Go(func() {
			for { // also when it has all its own receipts
				_, text, err := c.next()
				if err != nil {
					return
				}
				var m struct {
					Type, Outcome string
					ID            any
				}
				if json.Unmarshal([]byte(text), &m); m.Type == "message" {
					c.conn.Write(frame(ws.OpText, fmt.Sprintf(`{"type":"ack","id":%q}`, m.ID)))
				} else {
					outcomes <- m.Outcome
				}
			}
		})
	}
	counts := map[string]int{}
	for range 2 * sends {
		select {
		case o := <-outcomes:
			counts[o]++
		case <-time.After(patience):
			t.Fatalf("outcomes of %d messages: %v", 2*sends, counts)
		}
	}
	if counts["confirmed"] == 0 || counts["confirmed"]+counts["overloaded"] != 2*sends {
		t.Errorf("outcomes: %v", counts)
	}
	a.conn.Close()
	b.conn.Close()
	reading.Wait()
}

// So they are if one message alone is more than may be in flight.
func TestLargeMessagesThatConfirmEachOther(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.MaxMessage = 2 * maxInFlightBytes })
	alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
	large := `"` + strings.Repeat("x", maxInFlightBytes) + `"`
	alice.ask("bob", large, "1")
	first := bob.wantAsked("alice", large)
	bob.ask("alice", large, "2")
	second := alice.wantAsked("bob", large)
	alice.ask("bob", "3", "3")
	alice.wantReceipt("3", "overloaded") // the large one is all that may wait
	bob.ack(first)
	alice.ack(second)
	alice.wantReceipt("1", "confirmed")
	bob.wantReceipt("2", "confirmed")
	if f := &n.session("alice").inFlight; f.counts.Load() != 0 || f.bytes.Load() != 0 {
		t.Errorf("%d messages of %d bytes in flight, want none", f.messages(), f.bytes.Load())
	}
}

// What may wait for a confirmation is bounded, and never so much that the sender
// is not read.
func TestUnconfirmedMessagesAreBounded(t *testing.T) {
	n := start(t, nil)
	alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
	for i := range maxInFlight / 2 {
		alice.ask("bob", fmt.Sprint(i), fmt.Sprint(i))
	}
	alice.ask("bob", `"one more"`, `"more"`)
	alice.wantReceipt(`"more"`, "overloaded")
	n.wantCount(n.counts.drops, dropUnacked, 1)
	alice.send("nobody", "1", `"plain"`)
	alice.wantReceipt(`"plain"`, "offline")
	bob.ack(bob.wantAsked("alice", "0"))
	alice.wantReceipt("0", "confirmed")
	alice.ask("bob", `"again"`, `"again"`)
	for i := 1; i < maxInFlight/2; i++ {
		bob.wantAsked("alice", fmt.Sprint(i))
	}
	bob.ack(bob.wantAsked("alice", `"again"`))
	alice.wantReceipt(`"again"`, "confirmed")
	if n.session("alice").inFlight.paused() {
		t.Error("alice is not read")
	}
}

// The sender of a message that was dropped from its receiver's queue hears of it.
func TestDroppedMessageIsNotConfirmed(t *testing.T) {
	n := start(t, dropping(32<<10))
	alice, flood := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "flood")
	n.x.join(newSession(n.Node, plain{}, &Identity{Client: "deaf"}))
	alice.say(`{"type":"send","to":"deaf","data":"drop me","id":7,"confirm":true,"droppable":true}`)
	alice.say(`{"type":"ping"}`)
	alice.want(ws.OpText, `{"type":"pong"}`) // and no receipt before
	for n.dropped() == 0 {
		flood.sendDroppable("deaf", 1)
		flood.wantReceipt("1", "delivered")
	}
	alice.wantReceipt("7", "overloaded")
}

// Messages that wait for one receiver, as of a node that stands still, are no reason to
// refuse one to be confirmed to another.
func TestWhatWaitsForOneReceiverRefusesNoOther(t *testing.T) {
	n := start(t, func(_ *Options, x *localExchange) {
		x.hold = func(m router.Message) bool { return m.To == "frozen" }
	})
	alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
	const waiting = maxInFlight - 10
	for i := range waiting {
		alice.send("frozen", fmt.Sprint(i), fmt.Sprint(i))
	}
	eventually(t, "all wait", func() bool { return n.x.holding() == waiting })
	alice.ask("bob", `"healthy"`, `"asked"`)
	bob.ack(bob.wantAsked("alice", `"healthy"`))
	alice.wantReceipt(`"asked"`, "confirmed")
	n.x.release()
}
