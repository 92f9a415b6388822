package router

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// Without a key anybody who may publish can make up a link's number. The link is cut by
// that for no longer than it takes its sender to hear of it, however large the number is.
func TestForgedLifeCutsALinkForAMomentOnly(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	n.wantOutcome("bob", "0", Delivered)
	want := []string{"0"}
	var life uint64
	n.onLink("n1", func(l *link.Link) { life = l.Life() })
	for i, life := range []uint64{math.MaxUint64, math.MaxUint64, 1, life + 1<<60, math.MaxInt64} {
		forged := link.AppendHeader(nil, &link.Header{From: "n0", Life: life, First: 1, Base: 1})
		c.client.Publish(t.Context(), n.keys.Channel("n1"), forged)
		want = append(want, strconv.Itoa(i+1))
		n.wantOutcome("bob", want[i+1], Delivered)
	}
	bob.wantGot(want...)
	if testutil.ToFloat64(n.m.Router.LinkRenewals) == 0 {
		t.Error("no link began anew: the test forges nothing that counts")
	}
}

// Nor does it last if somebody who can listen uses up numbers of the link's present life, so that the
// peer takes what is sent for what it had: it acknowledges what nobody has sent.
func TestForgedNumbersCutALinkForAMomentOnly(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	n.wantOutcome("bob", "0", Delivered)
	var forged []byte
	n.onLink("n1", func(to *link.Link) {
		base, next, _, _, _ := to.Numbers()
		forged = link.AppendHeader(nil, &link.Header{From: "n0", Life: to.Life(), First: next, Base: base})
	})
	for range link.MaxWindow {
		forged = link.AppendBare(forged, link.KindVoid)
	}
	c.client.Publish(t.Context(), n.keys.Channel("n1"), forged)
	until(t, "the link begins anew", func() bool { return testutil.ToFloat64(n.m.Router.LinkRenewals) > 0 })
	n.wantOutcome("bob", "1", Delivered)
	n.wantOutcome("bob", "2", Delivered)
	bob.wantGot("0", "1", "2")
}

// logLines keeps what is logged.
type logLines struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (l *logLines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

func (l *logLines) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.lines.String(), text)
}

// A link that begins anew says so, whether or not nodes sign: without a key it may be an
// attack, with one the peer had forgotten the link.
func TestLinkThatBeginsAnewIsLogged(t *testing.T) {
	for name, change := range map[string]func(*Options){"level=WARN": nil, "level=INFO": withKey(registry.Allow)} {
		t.Run(name, func(t *testing.T) {
			var log logLines
			c := newCluster(t, 2, func(o *Options) {
				if change != nil {
					change(o)
				}
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			n := c.node(0)
			c.node(1).connect("bob")
			n.wantOutcome("bob", "0", Delivered)
			if change == nil {
				var later uint64
				n.onLink("n1", func(l *link.Link) { later = l.Life() + 1<<60 })
				forged := link.AppendHeader(nil, &link.Header{From: "n0", Life: later, First: 1, Base: 1})
				c.client.Publish(t.Context(), n.keys.Channel("n1"), forged)
			} else {
				n.awaitAcknowledged()
				c.node(1).forgetLinks()
			}
			n.wantOutcome("bob", "1", Delivered)
			until(t, "it is logged", func() bool { return log.contain(name + ` msg="link begins anew`) })
			if testutil.ToFloat64(n.m.Router.LinkRenewals) == 0 {
				t.Error("it is not counted")
			}
		})
	}
}

// A made-up ID does not end the window of its origin's IDs.
func TestForgedIDLeavesTheWindowOfUse(t *testing.T) {
	w := newIDWindows()
	for count := range uint64(10) {
		w.add(MessageID{1, count})
	}
	w.add(MessageID{1, math.MaxUint64})
	for count := uint64(10); count < 20; count++ {
		if w.has(MessageID{1, count}) {
			t.Errorf("%d was not added", count)
		}
		w.add(MessageID{1, count})
		if !w.has(MessageID{1, count}) {
			t.Errorf("%d is not remembered", count)
		}
	}
}

// The peer that forgot the link has forgotten which addresses it refused, too: what must not
// pass an earlier message is not sent again before that is.
func TestRenewedLinkLetsNothingPassWhatWasRefused(t *testing.T) {
	r, l := benchRoute(t)
	for i := range 3 {
		r.Send(Message{From: "alice", To: "bob", Data: []byte(strconv.Itoa(i))}, nil)
	}
	lookedUp(r, "eve", registry.Owner{NodeID: "n1", Token: "2"})
	r.Send(Message{From: "alice", To: "eve", Data: []byte("other")}, nil)
	r.Batches(benchOutlet{r})
	r.in.acknowledged(l, link.Ack{Life: l.link.Life(), UpTo: 1, Nacks: []link.Nack{{Seq: 1, Code: link.NackJoining}}})
	before := l.link.Life()
	r.in.acknowledged(l, link.Ack{Life: before + 1<<20, UpTo: 0})
	if life := l.link.Life(); int64(life-before-1<<20) <= 0 {
		t.Errorf("the new life %x is not newer than what the peer believes in", life)
	}
	var again []string
	l.link.Payloads(func(x link.Payload) bool {
		again = append(again, x.(*pending).To)
		return true
	})
	if base, next, _, _, _ := l.link.Numbers(); next != base || !slices.Equal(again, []string{"eve"}) {
		t.Errorf("the messages to %v are to be sent again, want eve's", again)
	}
	rt := r.shards.of("bob").routes["bob"]
	for i, p := range rt.back {
		if string(p.Data) != strconv.Itoa(i) {
			t.Errorf("message %d to be looked up again is %s", i, p.Data)
		}
	}
	if len(rt.back) != 3 {
		t.Errorf("%d messages are to be looked up again, want 3", len(rt.back))
	}
}

// Strangers' batches make links. They don't keep a new node out for long.
func TestStrangersLinksMakeRoom(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	for i := range maxPeers {
		p := n.peers.lockOrAdd("stranger" + strconv.Itoa(i))
		p.used = n.now().Add(-crowdedPeer - 1)
		p.mu.Unlock()
	}
	n.peers.forgetIdle()
	if n.peers.len() > 1 {
		t.Errorf("%d peers are kept", n.peers.len())
	}
}
