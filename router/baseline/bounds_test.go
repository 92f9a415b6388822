package baseline

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router"
)

// The bound is exact, and what has its outcome makes room again.
func TestPendingBytesAreBounded(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, func(o *Options) { o.MaxPendingBytes = 1000 }).node(0)
	out := make(chan router.Outcome, 20)
	send := func(size int) {
		n.Send(router.Message{From: "tester", To: "nobody", Data: make([]byte, size), Receipt: true}, func(_ router.MessageID, o router.Outcome) { out <- o })
	}
	for range 10 {
		send(100)
	}
	wantNone(t, out)
	send(1)
	n.want(out, router.Overloaded)
	send(0) // the bound is of bytes
	n.Flush()
	n.published()
	n.expireAll()
	for range 11 {
		n.want(out, router.Timeout)
	}
	if got := testutil.ToFloat64(n.m.Router.Overloaded.WithLabelValues(overloadPending)); got != 1 {
		t.Errorf("counted %v times", got)
	}
	if count, bytes, waiting := n.pendingCount(); count+bytes+waiting != 0 {
		t.Errorf("%d messages of %d bytes are pending, %d wait for receipts", count, bytes, waiting)
	}
	send(1000)
	wantNone(t, out)
}

func TestPendingMessagesAreBounded(t *testing.T) {
	n := newCluster(t, router.Broadcast, 1, nil).node(0)
	overloaded := 0
	for range maxPending + 5 {
		n.Send(router.Message{From: "tester", To: "nobody"}, func(_ router.MessageID, o router.Outcome) {
			if o == router.Overloaded {
				overloaded++
			}
		})
	}
	if count, _, _ := n.pendingCount(); count != maxPending || overloaded != 5 {
		t.Errorf("%d messages are pending and %d overloaded, want %d and 5", count, overloaded, maxPending)
	}
}

// What nobody answers times out by itself, and not long before its deadline.
func TestMessageTimesOut(t *testing.T) {
	const life = time.Second
	n := newCluster(t, router.Broadcast, 1, func(o *Options) { o.MessageTimeout = life }).node(0)
	began := time.Now()
	n.wantOutcome("nobody", "x", router.Timeout)
	if took := time.Since(began); took < life-earliness {
		t.Errorf("timed out after %v of %v", took, life)
	}
	n.wantOutcome("nobody", "the sweeper sleeps in between", router.Timeout)
}

func TestSessionsOfAnAddressAreBounded(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		n := newCluster(t, d, 1, func(o *Options) { o.MaxClientSessions = 2 }).node(0)
		phone := n.connect("bob")
		n.connect("bob")
		if err := n.Join(t.Context(), "bob", newTestSession(n, "bob")); !errors.Is(err, router.ErrTooManySessions) {
			t.Errorf("the third session joins: %v", err)
		}
		phone.leave()
		phone.leave() // again, which changes nothing
		n.connect("bob")
		if size := n.sessions.size(); size != 2 {
			t.Errorf("%d sessions, want 2", size)
		}
	})
}

// While Redis is away what was under way is unknown, more is not taken, and nobody is welcomed for
// long. All goes on when it is back.
func TestRedisAway(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		s := redistest.StartOwn(t)
		c := clusterOn(t, s, d, 2, nil)
		bob := c.node(1).connect("bob")
		n := c.node(0)
		n.wantOutcome("bob", "before", router.Delivered)
		s.Kill()
		unknown := n.sendTo("bob", "on its way")
		until(t, "nothing can be published", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return !n.mu.blockedSince.IsZero()
		})
		n.wantOutcome("bob", "refused at once", router.Overloaded)
		wantNone(t, unknown)
		n.expireAll()
		n.want(unknown, router.Timeout)
		until(t, "newcomers are refused", func() bool {
			return errors.Is(n.Join(t.Context(), "eve", newTestSession(n, "eve")), router.ErrUnavailable)
		})
		until(t, "the causes are told", func() bool {
			causes := ""
			for _, h := range n.Hindrances() {
				causes += string(h.Cause) + " "
			}
			return strings.Contains(causes, "unsubscribed") && strings.Contains(causes, "publish_blocked")
		})
		s.Restart()
		for _, n := range c.nodes {
			until(t, "all works again", func() bool { return len(n.Hindrances()) == 0 })
		}
		until(t, "bob is reached again", func() bool {
			out := n.sendTo("bob", "after")
			select {
			case o := <-out:
				return o == router.Delivered
			case <-time.After(100 * time.Millisecond): // Pub/Sub has forgotten it
				return false
			}
		})
		bob.await("got what came after", func() bool { return bob.got[len(bob.got)-1] == "after" })
	})
}

// What Redis answers with an error it has not published.
func TestRefusedPublishIsOverloaded(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		s := redistest.StartOwn(t)
		c := clusterOn(t, s, d, 1, nil)
		n := c.node(0)
		n.connect("bob")
		if err := c.client.Do(t.Context(), "acl", "setuser", "default", "-publish").Err(); err != nil {
			t.Fatal(err)
		}
		n.wantOutcome("bob", "x", router.Overloaded)
		if err := c.client.Do(t.Context(), "acl", "setuser", "default", "+publish").Err(); err != nil {
			t.Fatal(err)
		}
		n.wantOutcome("bob", "y", router.Delivered)
	})
}

// Stop publishes what is queued, and each message has exactly one outcome.
func TestStopEndsEverything(t *testing.T) {
	eachDelivery(t, func(t *testing.T, d router.Delivery) {
		c := newCluster(t, d, 2, nil)
		bob := c.node(1).connect("bob")
		n := c.node(0)
		outs := make(chan router.Outcome, 40)
		for i := range 20 {
			n.Send(router.Message{From: "a", To: "bob", Data: []byte("x"), Receipt: i%2 == 0}, func(_ router.MessageID, o router.Outcome) { outs <- o })
		}
		n.stop() // nobody has flushed
		bob.await("got all", func() bool { return len(bob.got) == 20 })
		counts := map[router.Outcome]int{}
		for range 20 {
			counts[<-outs]++
		}
		if counts[router.Published] != 10 || counts[router.Published]+counts[router.Timeout] != 20 || len(outs) > 0 {
			t.Errorf("outcomes %v, and %d more; want 10 published, 10 unknown", counts, len(outs))
		}
		n.want(n.sendTo("bob", "too late"), router.Timeout)
		if err := n.Join(t.Context(), "eve", newTestSession(n, "eve")); !errors.Is(err, router.ErrUnavailable) {
			t.Errorf("a session joins a router that has stopped: %v", err)
		}
	})
}

// The start fails in the time that it is given, and what it has begun ends.
func TestStartWithoutRedis(t *testing.T) {
	s := redistest.StartOwn(t)
	n := newNode(t, "n0", s.Prefix, s.Client(t), router.Broadcast, nil)
	s.Kill()
	t.Cleanup(n.stop)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := n.Start(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the start without Redis: %v", err)
	}
}
