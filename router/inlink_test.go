package router

import (
	"slices"
	"strconv"
	"testing"

	"github.com/beeline-ws/beeline/registry"
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
func TestRefusalsOfStrangersAreBounded(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	in := newInbox(n.Router)
	n.mu.Lock()
	for i := range maxLinks - 2 {
		n.linkTo("stranger" + strconv.Itoa(i))
	}
	n.release()
	p := &postman{in, "n9"}
	for i := range uint64(3 * leastRefused) { // twice: claims of addresses and messages for them
		batch := link.AppendHeader(nil, &link.Header{From: "n8", Life: 1, Base: 1, First: 1 + i})
		in.handle(in.private, string(link.AppendClaimed(batch, "nobody"+strconv.FormatUint(i, 10))))
		p.hand(1, 1+i, 1+i, "nobody"+strconv.FormatUint(i, 10), i)
	}
	n.mu.Lock()
	defer n.release()
	claims, messages := &n.links["n8"].in, &n.links["n9"].in
	if got := len(claims.exceptions); got != leastRefused {
		t.Errorf("%d refusals wait to be acknowledged, want %d", got, leastRefused)
	}
	if got := len(messages.young) + len(messages.old); got > 2*leastRefused || got < leastRefused {
		t.Errorf("%d refused addresses are remembered, want %d to %d", got, leastRefused, 2*leastRefused)
	}
}

// parcel is cargo that tells what became of it.
type parcel struct{ fates []fate }

func (*parcel) kind() link.Kind                              { return link.KindVoid }
func (*parcel) encode(to []byte, _ bool) []byte              { return link.AppendBare(to, link.KindVoid) }
func (*parcel) awaited() bool                                { return true }
func (p *parcel) settle(_ *Router, _ registry.Owner, f fate) { p.fates = append(p.fates, f) }

// PUBLISH on the new master counts nobody while the peer still hears by way of the former
// one. What the peer acknowledges it has.
func TestAcknowledgementCountsMoreThanPublish(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	n.mu.Lock()
	defer n.release()
	l, p, payload := n.linkTo("n9"), new(parcel), []byte(nil)
	l.queued = true // so that nobody else publishes
	l.push(n.Router, item{cargo: p})
	b := l.batch(n.Router, &payload)
	l.published(n.Router, &b, 0, nil)
	l.acknowledged(n.Router, link.Ack{Life: l.id, UpTo: 1})
	l.push(n.Router, item{cargo: p})
	b = l.batch(n.Router, &payload)
	l.published(n.Router, &b, 0, nil) // now that says nothing
	l.buried(n.Router, true)
	if want := []fate{fateDelivered, fateUnknown}; !slices.Equal(p.fates, want) {
		t.Errorf("fates %v, want %v", p.fates, want)
	}
}

// Whether what PUBLISH counted for nobody was heard depends on when it was published
// first, and is of interest as long as it is not acknowledged.
func TestLinkKnowsSinceWhenPublishCountsNobody(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	n.mu.Lock()
	defer n.release()
	l, p, payload := n.linkTo("n9"), new(parcel), []byte(nil)
	l.queued = true // so that nobody else publishes
	publish := func(receivers int64) {
		b := l.batch(n.Router, &payload)
		l.published(n.Router, &b, receivers, nil)
	}
	l.push(n.Router, item{cargo: p})
	publish(0)
	since := l.uncounted
	if since.IsZero() {
		t.Fatal("it counts as heard")
	}
	publish(0)
	publish(1)
	if l.uncounted != since {
		t.Error("the first PUBLISH is forgotten")
	}
	l.acknowledged(n.Router, link.Ack{Life: l.id, UpTo: 1})
	if !l.uncounted.IsZero() || l.relayed {
		t.Error("what was acknowledged still counts")
	}
}
