package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/beeline-ws/beeline/router/link"
)

// histogram reads how often a histogram observed, and the sum.
func histogram(t *testing.T, o prometheus.Observer) (count uint64, sum float64) {
	t.Helper()
	var m dto.Metric
	if err := o.(prometheus.Metric).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.Histogram.GetSampleCount(), m.Histogram.GetSampleSum()
}

// An outage without a message or a client is seen by the errors' counter, tries to
// subscribe are not counted as subscriptions, and one outage is one of those.
func TestOutageIsCountedAsWhatItIs(t *testing.T) {
	c := newOwnCluster(t, 1, nil)
	n := c.node(0)
	failed := func(op string) float64 { return testutil.ToFloat64(n.m.Registry.OperationErrors.WithLabelValues(op)) }
	n.connect("bob")
	if subscribed := testutil.ToFloat64(n.m.Router.Resubscribes); subscribed != 0 {
		t.Fatalf("%v resubscriptions before anything was lost", subscribed)
	}
	beats, lookups := failed("beat"), failed("lookup")
	c.redis.Kill()
	until(t, "three heartbeats failed", func() bool { return failed("beat") >= beats+3 })
	n.wantTimeout("alice", "x")
	if failed("lookup") == lookups {
		t.Error("a lookup failed and was not counted")
	}
	if n := testutil.ToFloat64(n.m.Router.Resubscribes); n != 0 {
		t.Errorf("%v resubscriptions without a Redis", n)
	}
	c.redis.Restart()
	until(t, "it hears again", n.isSubscribed.Load)
	until(t, "the resubscription is counted", func() bool { return testutil.ToFloat64(n.m.Router.Resubscribes) >= 1 })
	if tries := testutil.ToFloat64(n.m.Router.Resubscribes); tries > 2 { // a connection may break twice
		t.Errorf("one outage is %v resubscriptions", tries)
	}
}

// Where nothing is published in an outage, the publisher finds out during it that its
// connection has ended: after it, that would look like another outage.
func TestIdlePublisherKnowsOfAnOutageWhileItLasts(t *testing.T) {
	c := newOwnCluster(t, 1, nil)
	n := c.node(0)
	connected := func() bool { return n.bus.Blocked() == 0 }
	until(t, "the publisher is connected", connected)
	c.redis.Kill()
	until(t, "the publisher knows that Redis has gone", func() bool { return !connected() })
	c.redis.Restart()
	until(t, "the publisher is connected again", connected)
}

// Every PUBLISH is a batch of envelopes or an acknowledgement, and each envelope is
// counted where it is published, a heartbeat's probe too.
func TestEveryPublishIsCountedAsWhatItCarries(t *testing.T) {
	c := newHastyCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	for i := range 20 {
		c.node(0).wantOutcome("bob", fmt.Sprint(i), Delivered)
	}
	bob.await("got all", func() bool { return len(bob.got) == 20 })
	until(t, "an acknowledgement went alone", func() bool {
		return testutil.ToFloat64(c.node(1).m.Router.Acknowledgements) > 0
	})
	for _, n := range c.nodes {
		probes := func(counters [link.Kinds]prometheus.Counter) float64 {
			return testutil.ToFloat64(counters[link.KindProbe])
		}
		until(t, "a probe came back", func() bool { return probes(n.received) > 0 })
		n.stop() // nothing is published any more
		if sent, got := probes(n.published), probes(n.received); sent < got {
			t.Errorf("%v probes were published and %v received", sent, got)
		}
		var envelopes float64
		for _, kind := range n.published {
			envelopes += testutil.ToFloat64(kind)
		}
		batches, sum := histogram(t, n.m.Router.BatchEnvelopes)
		if sum != envelopes || float64(batches) > sum {
			t.Errorf("%v envelopes in %d batches, want %v", sum, batches, envelopes)
		}
		alone := testutil.ToFloat64(n.m.Router.Acknowledgements)
		if publishes := testutil.ToFloat64(n.m.Router.Publishes); publishes != float64(batches)+alone {
			t.Errorf("%v PUBLISHes, of which %d had envelopes and %v an acknowledgement alone", publishes, batches, alone)
		}
	}
}

// The sender's time includes the way to the receiver and back, and each outcome is
// timed once.
func TestTimeToTheOutcomeIsTheSenders(t *testing.T) {
	c := newCluster(t, 2, nil)
	sender := c.node(0)
	c.node(1).connect("bob")
	c.node(0).connect("ann")
	began := time.Now()
	for range 5 {
		sender.wantOutcome("bob", "12345", Delivered) // remote
		sender.wantOutcome("ann", "12345", Delivered) // local
		sender.wantOutcome("cid", "12345", Offline)
	}
	took := time.Since(began).Seconds()
	for o, want := range map[Outcome]uint64{Delivered: 10, Offline: 5, Timeout: 0} {
		count, sum := histogram(t, sender.outcomeTimes[o])
		if count != want || sum > took || want > 0 && sum <= 0 {
			t.Errorf("%v: %d times, %v s in all; want %d within %v s", o, count, sum, want, took)
		}
	}
	if count, sum := histogram(t, sender.m.Router.MessageBytes); count != 15 || sum != 75 {
		t.Errorf("%d messages with %v bytes, want 15 with 75", count, sum)
	}
}
