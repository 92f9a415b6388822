package router

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// repeat sends data to bob under a name of the sender's.
func (n *testNode) repeat(from, ref, data string) <-chan Outcome {
	out := make(chan Outcome, 2)
	m := Message{From: from, To: "bob", Data: []byte(data), Ref: []byte(ref)}
	n.Send(m, func(_ MessageID, o Outcome) { out <- o })
	return out
}

func TestRepeatIsDeliveredOnce(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		for _, n := range c.nodes { // the sender goes from node to node
			n.want(n.repeat("alice", "1", "once"), Delivered)
			n.want(n.repeat("alice", "1", "once"), Delivered)
		}
		c.node(0).want(c.node(0).repeat("alice", "2", "another name"), Delivered)
		c.node(0).want(c.node(0).repeat("alice", "1", "another text"), Delivered)
		c.node(0).want(c.node(0).repeat("carol", "1", "once"), Delivered)
		bob.wantGot("once", "another name", "another text", "once")
	})
}

// The receiver has moved, but the sender's node remembers.
func TestRepeatAfterTheReceiverMoved(t *testing.T) {
	c := newCluster(t, 3, nil)
	bob := c.node(1).connect("bob")
	c.node(0).want(c.node(0).repeat("alice", "1", "once"), Delivered)
	bob.leave()
	bob = c.node(2).connect("bob")
	c.node(0).want(c.node(0).repeat("alice", "1", "once"), Delivered)
	c.node(0).want(c.node(0).repeat("alice", "2", "next"), Delivered)
	bob.wantGot("next")
}

func TestRepeatOfAFailureIsAnotherTry(t *testing.T) {
	c := newCluster(t, 2, nil)
	c.node(0).want(c.node(0).repeat("alice", "1", "hello"), Offline)
	bob := c.node(1).connect("bob")
	bob.full.Store(true)
	c.node(0).want(c.node(0).repeat("alice", "1", "hello"), Overloaded)
	bob.full.Store(false)
	c.node(0).want(c.node(0).repeat("alice", "1", "hello"), Delivered)
	bob.wantGot("hello")
}

// Both the first and its repeats get the one outcome, which comes later.
func TestRepeatWhileTheFirstIsUnderWay(t *testing.T) {
	c := newCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	c.node(1).in.sub.Reset()
	first, second := c.node(0).repeat("alice", "1", "hello"), c.node(0).repeat("alice", "1", "hello")
	c.node(0).want(first, Delivered)
	c.node(0).want(second, Delivered)
	bob.wantGot("hello")
	wantNothingPending(t, c)
}

// A repeat that comes while its first is being delivered here gets the same outcome.
func TestRepeatDuringALocalDeliveryHasAnOutcome(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	held := newGate()
	open := sync.OnceFunc(func() { close(held.open) })
	t.Cleanup(open)
	n.join("bob", held)
	first := make(chan Outcome, 1)
	var sending sync.WaitGroup
	sending.Go(func() { first <- <-n.repeat("alice", "1", "hello") })
	<-held.entered
	second := n.repeat("alice", "1", "hello")
	wantNone(t, second)
	open()
	n.want(first, Delivered)
	n.want(second, Delivered)
	sending.Wait()
	if got := held.got.Load(); got != 1 {
		t.Errorf("it was delivered %d times", got)
	}
}

func TestRepeatsAreForgottenInTheEnd(t *testing.T) {
	r := newDedup(time.Now)
	repeated := func(from string, content uint64) bool {
		m := Message{From: from, contentHash: content}
		_, ok := r.deliverOnce(&m, func() ackResult { return ackDelivered })
		return ok
	}
	for i := range maxRemembered + 1 {
		if repeated("alice", uint64(i+1)) {
			t.Fatalf("message %d counts as a repeat", i)
		}
	}
	if n := len(r.delivered.of); n > maxRemembered {
		t.Errorf("%d are kept", n)
	}
	if !repeated("alice", maxRemembered) {
		t.Error("one of the last is not remembered")
	}
	if repeated("alice", 1) {
		t.Error("the oldest is still remembered")
	}
	if repeated("bob", maxRemembered) {
		t.Error("another sender's message counts as a repeat")
	}
}

// The first comes from another node while its repeat, which was sent at the
// receiver's own node, still waits there for its lookup.
func TestRepeatOvertakenByItsFirst(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.OwnerCache = -1 })
	n := c.node(0)
	bob := n.connect("bob")
	held := make(chan struct{})
	free := sync.OnceFunc(func() { close(held) })
	defer free()
	n.client.AddHook(heldLookups(held))
	n.generation.end() // what the node knows of bob's owners no longer counts
	m := Message{From: "alice", To: "bob", Data: []byte("once"), Ref: []byte("1")}
	m.contentHash = m.hashContent()
	out := make(chan Outcome, 2)
	n.Send(m, func(_ MessageID, o Outcome) { out <- o })
	if f := n.deliverHere(&m, noneAssumed, n.now(), n.now()); f != ackDelivered {
		t.Fatalf("the first meets result %v", f)
	}
	wantNone(t, out)
	free()
	n.want(out, Delivered)
	n.wantOutcome("bob", "next", Delivered)
	bob.wantGot("once", "next")
}

// heldLookups keeps a node's lookups from Redis until it is closed.
type heldLookups chan struct{}

func (heldLookups) DialHook(next redis.DialHook) redis.DialHook { return next }

func (heldLookups) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (held heldLookups) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return isLookup(cmd) }) {
			<-held
		}
		return next(ctx, cmds)
	}
}

func BenchmarkRepeats(b *testing.B) {
	r := newDedup(time.Now)
	m := Message{From: "alice", To: "bob", Data: make([]byte, 128), Ref: []byte("12345678")}
	p := &pending{Message: m, accepted: time.Now()}
	for i := range b.N {
		p.Ref = strconv.AppendInt(p.Ref[:0], int64(i), 10)
		p.contentHash, p.ID.Count = p.hashContent(), uint64(i)
		r.begin(p)
		r.end(p, Delivered)
	}
}
