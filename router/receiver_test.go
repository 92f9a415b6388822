package router

import (
	"strconv"
	"testing"

	"github.com/beeline-ws/beeline/router/link"
)

// postman hands a node batches as they come from another one.
type postman struct {
	in   *inbox
	from string
}

// hand hands over messages of a life of the link, the first of which has that number.
func (p *postman) hand(life, base, first uint64, to string, counts ...uint64) {
	b := link.AppendHeader(nil, &link.Header{From: p.from, Life: life, Base: base, First: first})
	for i, count := range counts {
		m := Message{ID: MessageID{Origin: 7, Count: count}, From: "alice", To: to, Data: []byte(strconv.FormatUint(count, 10))}
		var flags byte
		if i == 0 && base == first {
			flags = link.FlagFirst
		}
		b = appendMessage(b, &m, flags, 1, 1, noneAssumed)
	}
	p.in.handle(p.in.private, string(b))
}

// A failover may hold up what was published on one server and deliver it behind what was
// published later on another. What was sent again in the next life of the link must not be
// passed by what remains of the last one.
func TestBatchOfAFormerLifeOfALinkIsTooLate(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	bob := n.connect("bob")
	p := &postman{newInbox(n.Router), "n9"}
	p.hand(1, 1, 1, "bob", 1)
	p.hand(2, 1, 1, "bob", 2)
	p.hand(1, 3, 3, "bob", 4, 5) // of a former life, and with a base of its own
	p.hand(2, 1, 1, "bob", 2)    // again, because nobody acknowledged it
	p.hand(2, 2, 2, "bob", 3, 4, 5)
	bob.wantGot("1", "2", "3", "4", "5")
}

// Without a key somebody can acknowledge for a node what it does not have. Its peer does not
// send that again, and what follows arrives.
func TestLinkGoesOnBehindWhatOthersAcknowledged(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	bob := n.connect("bob")
	p := &postman{newInbox(n.Router), "n9"}
	p.hand(1, 1, 1, "bob", 1)
	p.hand(1, 4, 4, "bob", 4)
	p.hand(1, 4, 6, "bob", 6) // a gap: 5 will come
	p.hand(1, 4, 5, "bob", 5)
	p.hand(1, 4, 6, "bob", 6)
	bob.wantGot("1", "4", "5", "6")
}

// Strangers that make up nodes, and send what is refused, have little remembered of it.
func TestNacksForStrangersAreBounded(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	in := newInbox(n.Router)
	for i := range maxPeers - 2 {
		n.peers.lockOrAdd("stranger" + strconv.Itoa(i)).mu.Unlock()
	}
	p := &postman{in, "n9"}
	for i := range uint64(3 * leastRefused) { // twice: claims of addresses and messages for them
		batch := link.AppendHeader(nil, &link.Header{From: "n8", Life: 1, Base: 1, First: 1 + i})
		in.handle(in.private, string(link.AppendClaimed(batch, "nobody"+strconv.FormatUint(i, 10))))
		p.hand(1, 1+i, 1+i, "nobody"+strconv.FormatUint(i, 10), i)
	}
	if got := n.peers.get("n8").link.Nacks(); got != leastRefused {
		t.Errorf("%d nacks wait to be acknowledged, want %d", got, leastRefused)
	}
	if got := n.peers.get("n9").link.Refused().Len(); got > 2*leastRefused || got < leastRefused {
		t.Errorf("%d refused addresses are remembered, want %d to %d", got, leastRefused, 2*leastRefused)
	}
}
