package router

import (
	"log/slog"
	"math"
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
	for i, life := range []uint64{math.MaxUint64, math.MaxUint64, 1, n.links["n1"].id + 1<<60, math.MaxInt64} {
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
	n.mu.Lock()
	l := n.links["n1"]
	forged := link.AppendHeader(nil, &link.Header{From: "n0", Life: l.id, First: l.next, Base: l.base})
	n.release()
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
				n.mu.Lock()
				later := n.links["n1"].id + 1<<60
				n.release()
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
	r.mu.Lock()
	r.routeTo("eve").found(r, []registry.Owner{{NodeID: "n1", Token: "2"}}, true)
	r.release()
	r.Send(Message{From: "alice", To: "eve", Data: []byte("other")}, nil)
	r.mu.Lock()
	defer r.release()
	l.next, l.high, l.sent = l.end(), l.end(), l.end()
	l.acknowledged(r, link.Ack{Life: l.id, UpTo: 1, Nacks: []link.Nack{{Seq: 1, Code: link.NackJoining}}})
	before := l.id
	l.acknowledged(r, link.Ack{Life: l.id + 1<<20, UpTo: 0})
	if !newerLife(l.id, before+1<<20) {
		t.Errorf("the new life %x is not newer than what the peer believes in", l.id)
	}
	if l.next != l.base || len(l.window) != 1 || l.window[0].cargo.(*pending).To != "eve" {
		t.Errorf("%d messages are to be sent again, want eve's", len(l.window))
	}
	rt := r.routes["bob"]
	for i, p := range rt.back {
		if string(p.Data) != strconv.Itoa(i) {
			t.Errorf("message %d to be looked up again is %s", i, p.Data)
		}
	}
	if len(rt.back) != 3 {
		t.Errorf("%d messages are to be looked up again, want 3", len(rt.back))
	}
}

func TestLivesGrow(t *testing.T) {
	r, _ := benchRoute(t)
	r.mu.Lock()
	defer r.release()
	for _, last := range []uint64{0, 1, r.lives, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
		r.lives = last
		for range 3 {
			before := r.lives
			if life := r.nextLife(); !newerLife(life, before) || life == 0 {
				t.Fatalf("life %x follows %x", life, before)
			}
		}
	}
	if newerLife(0, 1) || newerLife(0, 0) || !newerLife(1, 0) || newerLife(5, 5) {
		t.Error("0 is no life")
	}
}

// Strangers' batches make links. They don't keep a new node out for long.
func TestStrangersLinksMakeRoom(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	n.mu.Lock()
	defer n.release()
	for i := range maxLinks {
		n.linkTo("stranger" + strconv.Itoa(i)).used = n.now().Add(-crowdedLink - 1)
	}
	n.mu.Unlock()
	n.dropIdleLinks()
	n.mu.Lock()
	if len(n.links) > 1 {
		t.Errorf("%d links are kept", len(n.links))
	}
}
