package router

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A publish that returns before it is sent, into an unbounded slice, loses
// messages without a word when nobody takes them (psrpc). Here each has exactly
// one outcome, whatever happens to Redis and the receiver meanwhile.
func TestEverySendHasExactlyOneOutcome(t *testing.T) {
	const messages = 400
	c := newOwnCluster(t, 3, func(o *Options) { o.MessageTimeout = time.Second })
	c.node(1).connect("bob")
	c.node(2).connect("eve")
	var outs []<-chan Outcome
	for i := range messages {
		outs = append(outs, c.node(0).sendTo([]string{"bob", "eve", "nobody"}[i%3], "x"))
		switch i {
		case 100:
			c.node(1).in.reset()
		case 200:
			c.redis.Pause()
		case 250:
			c.redis.Resume()
		case 300:
			c.node(2).die()
		}
	}
	for i, out := range outs {
		select {
		case <-out:
		case <-time.After(patience):
			t.Fatalf("message %d has no outcome", i)
		}
	}
	c.node(0).stop() // whatever comes late must have come by now
	for i, out := range outs {
		if len(out) > 0 {
			t.Errorf("message %d has two outcomes", i)
		}
	}
	if n := c.node(0).pending.count; n != 0 {
		t.Errorf("%d messages are still pending", n)
	}
}

// faultyWire interferes with what a client publishes in pipelines.
type faultyWire struct {
	on    atomic.Bool
	fault func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error
}

func (f *faultyWire) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}
func (f *faultyWire) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (f *faultyWire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !f.on.Load() || !strings.Contains(names(cmds), "publish") {
			return next(ctx, cmds)
		}
		return f.fault(next, ctx, cmds)
	}
}

func names(cmds []redis.Cmder) (all string) {
	for _, c := range cmds {
		all += c.Name() + " "
	}
	return all
}

func sendThrough(t *testing.T, fault func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error) (c *cluster, bob *testSession) {
	t.Helper()
	const messages = 200
	c = newCluster(t, 2, nil)
	wire := &faultyWire{fault: fault}
	c.node(0).client.(*redis.Client).AddHook(wire)
	bob = c.node(1).connect("bob")
	wire.on.Store(true)
	var want []string
	var outs []<-chan Outcome
	for i := range messages {
		want = append(want, strconv.Itoa(i))
		outs = append(outs, c.node(0).sendTo("bob", want[i]))
		if i%5 == 0 {
			<-outs[i] // so that there are many commits
		}
	}
	for i, out := range outs {
		if i%5 != 0 {
			c.node(0).want(out, Delivered)
		}
	}
	bob.wantGot(want...)
	return c, bob
}

// A PUBLISH that go-redis tries again, after its reply was lost, arrives twice.
func TestPublishedTwiceIsDeliveredOnce(t *testing.T) {
	sendThrough(t, func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error {
		_ = next(ctx, cmds)
		return next(ctx, cmds)
	})
}

// Redis may forget what it has confirmed: the subscriber's connection was just
// breaking. The link notices and sends it again, in order.
func TestLostPublishIsSentAgain(t *testing.T) {
	var n atomic.Int64
	sendThrough(t, func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error {
		if n.Add(1)%4 != 0 { // never twice in a row: the waits in between double
			return next(ctx, cmds)
		}
		var rest []redis.Cmder
		for _, cmd := range cmds {
			if p, ok := cmd.(*redis.IntCmd); ok && cmd.Name() == "publish" {
				p.SetVal(1)
				continue
			}
			rest = append(rest, cmd)
		}
		if len(rest) == 0 {
			return nil
		}
		return next(ctx, rest)
	})
}

// A baseline has no links; there the window of message IDs drops duplicates.
func TestBaselinesDropDuplicatesByID(t *testing.T) {
	for _, d := range []Delivery{Broadcast, Subscribe} {
		c := newCluster(t, 2, func(o *Options) { o.Delivery = d })
		wire := &faultyWire{fault: func(next redis.ProcessPipelineHook, ctx context.Context, cmds []redis.Cmder) error {
			_ = next(ctx, cmds)
			return next(ctx, cmds)
		}}
		c.node(0).client.(*redis.Client).AddHook(wire)
		bob := c.node(1).connect("bob")
		wire.on.Store(true)
		c.node(0).wantOutcome("bob", "1", Delivered)
		c.node(0).wantOutcome("bob", "2", Delivered)
		bob.wantGot("1", "2")
	}
}

func TestRecentForgetsTheOldest(t *testing.T) {
	w := newRecent()
	for i := range uint64(3 * recentIDs) {
		w.add(MessageID{1, i})
	}
	if w.has(MessageID{1, 0}) || !w.has(MessageID{1, 3*recentIDs - 1}) || len(w.young)+len(w.old) > 2*recentIDs {
		t.Errorf("%d and %d IDs are remembered", len(w.young), len(w.old))
	}
}

// An owner that answers its probe from another life is not the owner.
func TestAnotherProcessAtTheAddressProvesDeath(t *testing.T) {
	c := newCluster(t, 2, nil)
	gone := c.node(1)
	gone.connect("bob")
	if c.node(0).goneFrom(t.Context(), gone.where.URL, "n1") {
		t.Error("a node that answers was called gone")
	}
	if !c.node(0).goneFrom(t.Context(), gone.where.URL, "n1-earlier") {
		t.Error("another process at the address was taken for the node")
	}
	if c.node(0).goneFrom(t.Context(), "http://127.0.0.1:1\x7f", "n1") {
		t.Error("an address that can't be asked was taken as proof")
	}
}

func TestBadOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("options without anything were taken")
	}
	c := newCluster(t, 1, nil)
	opts := c.node(0).opts
	opts.Delivery = "pigeon"
	if _, err := New(opts); err == nil || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("delivery pigeon: %v", err)
	}
}
