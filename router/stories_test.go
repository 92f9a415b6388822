package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/link"
)

// onEachRedis runs a test on one Redis and on a Redis Cluster.
func onEachRedis(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Run("redis", func(t *testing.T) { test(t, newCluster(t, 3, nil)) })
	t.Run("cluster", func(t *testing.T) { test(t, newShardedCluster(t, 3, nil)) })
}

func TestMessageGoesToTheNodeThatHoldsItsReceiver(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		c.node(0).wantOutcome("bob", "hello", Delivered)
		bob.wantGot("hello")
	})
}

func TestMessageToOneself(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(0).connect("bob")
		c.node(0).wantOutcome("bob", "note", Delivered)
		bob.wantGot("note")
	})
}

func TestMessageToNobodyIsOffline(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		c.node(0).wantOutcome("C4", "hello?", Offline)
	})
}

func TestEverySessionOfAClientReceives(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		phone, desk, tablet := c.node(1).connect("bob"), c.node(2).connect("bob"), c.node(2).connect("bob")
		c.node(0).wantOutcome("bob", "all of you", Delivered)
		for _, s := range []*testSession{phone, desk, tablet} {
			s.wantGot("all of you")
		}
	})
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	onEachRedis(t, func(t *testing.T, c *cluster) {
		bob := c.node(1).connect("bob")
		var want []string
		for i := range 2000 {
			want = append(want, strconv.Itoa(i))
			c.node(0).Send(Message{From: "a", To: "bob", Data: []byte(want[i])}, nil)
		}
		bob.wantGot(want...)
	})
}

// The only owner being here, Redis is not asked: it counts no command of anybody's. No
// heartbeat comes meanwhile, because the nodes' time stands still.
func TestLocalMessageTouchesNoRedis(t *testing.T) {
	const messages = 100
	server := redistest.StartOwn(t)
	server.AwaitUptime()
	c := clusterOn(t, relaxedHeartbeat, server, server.Prefix, func() redis.UniversalClient { return server.Client(t) }, 2,
		func(o *Options) { o.Runtime = newSteppedClock() })
	bob := c.node(0).connect("bob")
	var before map[string]int
	until(t, "Redis has nothing to do", func() bool {
		last := before
		before = server.CommandCounts(t)
		return maps.Equal(last, before)
	})
	var want []string
	for i := range messages {
		want = append(want, strconv.Itoa(i))
		c.node(0).wantOutcome("bob", want[i], Delivered)
	}
	bob.wantGot(want...)
	if after := server.CommandCounts(t); !maps.Equal(before, after) {
		t.Errorf("%d local messages made commands of %v %v", messages, before, after)
	}
}

// A second session on another node must be reached from the first one's node as
// soon as it is welcomed.
func TestSecondOwnerEndsTheLocalPath(t *testing.T) {
	c := newCluster(t, 2, nil)
	for i := range 20 {
		name := fmt.Sprint("bob", i)
		here := c.node(0).connect(name)
		there := c.node(1).connect(name)
		c.node(0).wantOutcome(name, "both", Delivered)
		here.wantGot("both")
		there.wantGot("both")
		there.leave()
		here.leave()
	}
}

func TestReplaceClosesTheOlderSession(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.Duplicates = registry.Replace })
	old := c.node(0).connect("bob")
	newer := c.node(1).connect("bob")
	old.wantEvicted(ErrReplaced)
	newest := c.node(1).connect("bob")
	newer.wantEvicted(ErrReplaced)
	c.node(0).wantOutcome("bob", "x", Delivered)
	newest.wantGot("x")
	old.leave() // late, and of no effect
	c.node(0).wantOutcome("bob", "y", Delivered)
	newest.wantGot("x", "y")
}

func TestRejectRefusesTheNewcomer(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.Duplicates = registry.Reject })
	bob := c.node(0).connect("bob")
	for _, n := range c.nodes {
		if _, err := n.tryConnect("bob"); !errors.Is(err, ErrDuplicate) {
			t.Errorf("joining twice on %s: %v, want %v", n.opts.NodeID, err, ErrDuplicate)
		}
	}
	bob.leave()
	until(t, "bob's name is free", func() bool { return len(c.owners("bob")) == 0 })
	c.node(1).connect("bob")
}

func TestQuickReconnect(t *testing.T) {
	c := newCluster(t, 2, nil)
	for i := range 30 {
		s := c.node(i % 2).connect("bob")
		c.node(0).wantOutcome("bob", "x", Delivered)
		s.leave()
		if i%3 == 0 { // to the same node, before the release can have arrived
			s = c.node(i % 2).connect("bob")
			c.node(1).wantOutcome("bob", "y", Delivered)
			s.leave()
		}
	}
	until(t, "bob is offline", func() bool {
		out := c.node(0).sendTo("bob", "z")
		return <-out == Offline
	})
}

func TestFullQueueIsOverloaded(t *testing.T) {
	c := newCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	bob.full.Store(true)
	c.node(0).wantOutcome("bob", "x", Overloaded)
	c.node(1).wantOutcome("bob", "x", Overloaded)
}

func TestBadMessagesAreRejected(t *testing.T) {
	c := newCluster(t, 1, nil)
	for _, to := range []string{"", "#", "#lobby", "@shop", "$node", "a\nb", "\xff", "\xed\xa0\x80", "a\u202eb", string(make([]byte, 300))} {
		c.node(0).wantOutcome(to, "x", Rejected)
	}
}

// No lease ends meanwhile: the connection that is refused tells.
func TestKilledNodeIsKnownAtTheNextSend(t *testing.T) {
	c := newRelaxedCluster(t, 3)
	c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "x", Delivered)
	c.node(1).die()
	c.node(0).wantOutcome("bob", "y", Offline)
	until(t, "the dead node's entry is pruned", func() bool { return len(c.owners("bob")) == 0 })
	bob := c.node(2).connect("bob")
	c.node(0).wantOutcome("bob", "z", Delivered)
	bob.wantGot("z")
}

// A node that is unsubscribed for a moment is not dead: what is sent to it waits.
func TestUnsubscribedNodeGetsItsMessagesLater(t *testing.T) {
	c := newCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	var sent []<-chan Outcome
	var want []string
	for i := range 50 {
		if i%10 == 5 {
			c.node(1).in.sub.Reset()
		}
		want = append(want, strconv.Itoa(i))
		sent = append(sent, c.node(0).sendTo("bob", want[i]))
	}
	for _, out := range sent {
		c.node(0).want(out, Delivered)
	}
	bob.wantGot(want...)
}

func TestUnsubscribedNodeClaimsNothing(t *testing.T) {
	c := newCluster(t, 1, nil)
	c.node(0).isSubscribed.Store(false)
	if _, err := c.node(0).tryConnect("bob"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an unsubscribed node let bob join: %v", err)
	}
	if owners := c.owners("bob"); len(owners) != 0 {
		t.Errorf("an unsubscribed node claimed: %v", owners)
	}
	if c.node(0).unready() == nil {
		t.Error("an unsubscribed node calls itself healthy")
	}
}

// A message is one PUBLISH and reaches no other node; its owner is looked up once, or for
// each message if nothing is cached.
func TestCostOfAMessage(t *testing.T) {
	const nodes, messages = 8, 50
	for _, arm := range []struct {
		name    string
		entries int
		lookups int
	}{
		{"cached", 0, 1},
		{"without a cache", -1, messages},
	} {
		t.Run(arm.name, func(t *testing.T) {
			c := newCluster(t, nodes, func(o *Options) { o.OwnerCache = arm.entries })
			bob := c.node(1).connect("bob")
			lookups, published := c.redis.CommandCount(t, "hgetall")["hgetall"], c.published()-c.resent()
			for i := range messages {
				c.node(0).Send(Message{From: "a", To: "bob", Data: []byte("x")}, nil)
				bob.await("got it", func() bool { return len(bob.got) == i+1 })
			}
			if w := c.wasted(); w != 0 {
				t.Errorf("%v wasted deliveries, want none", w)
			}
			if n := c.redis.CommandCount(t, "hgetall")["hgetall"] - lookups; n != arm.lookups {
				t.Errorf("%d lookups for %d messages, want %d", n, messages, arm.lookups)
			}
			if n := c.published() - c.resent() - published; n != messages { // a machine that stands still has links resend
				t.Errorf("%v messages published, want %d", n, messages)
			}
			t.Logf("%d nodes, %d messages: %v envelopes published, %v wasted deliveries", nodes, messages, c.published()-published, c.wasted())
		})
	}
}

// Clients move between nodes all the time while messages fly: nobody is told
// that a connected client is offline, what is called delivered has arrived, once,
// and in order.
func TestMovingClientsAreAlwaysReached(t *testing.T) {
	for name, entries := range map[string]int{"cached": 0, "looked up": -1} {
		change := func(o *Options) { o.OwnerCache = entries }
		t.Run(name+"/one Redis", func(t *testing.T) { checkMovers(newCluster(t, 3, change)) })
		t.Run(name+"/cluster", func(t *testing.T) { checkMovers(newShardedCluster(t, 3, change)) })
	}
}

func checkMovers(c *cluster) {
	const clients, messages = 8, 150
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { c.checkMover(fmt.Sprint("mover", i), messages) })
	}
	wg.Wait()
}

// checkMover moves a client, new session first, and sends to it meanwhile, from
// each node in turn.
func (c *cluster) checkMover(client string, messages int) {
	stop := make(chan struct{})
	moved := make(chan []*testSession)
	first := c.node(rand.IntN(len(c.nodes))).connect(client)
	go func() {
		all := []*testSession{first}
		for {
			select {
			case <-stop:
				moved <- all
				return
			default:
			}
			s, err := c.node(rand.IntN(len(c.nodes))).tryConnect(client)
			if stoodStill(err) {
				time.Sleep(2 * time.Millisecond)
				continue
			}
			if err != nil {
				c.t.Errorf("moving %s: %v", client, err)
				continue
			}
			all[len(all)-1].leave()
			all = append(all, s)
		}
	}()
	var outs []<-chan Outcome
	for i := range messages {
		outs = append(outs, c.node(i%len(c.nodes)).sendTo(client, strconv.Itoa(i)))
		time.Sleep(time.Millisecond) // the rate of one sender
	}
	told := make(map[string]bool)
	for i, out := range outs {
		select {
		case o := <-out:
			told[strconv.Itoa(i)] = o == Delivered
			if o == Offline {
				c.t.Errorf("%s was told offline while connected", client)
			}
		case <-time.After(patience):
			c.t.Errorf("message %d to %s has no outcome", i, client)
		}
	}
	close(stop)
	all := <-moved
	if len(all) == 1 {
		c.t.Errorf("%s never moved", client)
	}
	c.checkReceived(client, all, told)
}

func (c *cluster) checkReceived(client string, sessions []*testSession, told map[string]bool) {
	arrived := make(map[string]bool)
	for _, s := range sessions {
		s.mu.Lock()
		last := make(map[int]int) // by sender
		for _, data := range s.got {
			n, _ := strconv.Atoi(data)
			sender := n % len(c.nodes)
			if before, ok := last[sender]; ok && n <= before {
				c.t.Errorf("%s got %d after %d in one session", client, n, before)
			}
			last[sender] = n
			arrived[data] = true
		}
		s.mu.Unlock()
	}
	for data, delivered := range told {
		if delivered && !arrived[data] {
			c.t.Errorf("%s never got %s, which was called delivered", client, data)
		}
	}
}

func TestEmptiedRedisMakesNobodyOffline(t *testing.T) {
	c := newOwnCluster(t, 3, nil)
	bob := c.node(1).connect("bob")
	c.client.FlushAll(context.Background())
	c.node(0).wantOutcome("bob", "still there?", Delivered)
	bob.wantGot("still there?")
	until(t, "the lease is back", func() bool { return len(c.owners("bob")) == 1 })
}

func TestRestartedRedisLosesNobody(t *testing.T) {
	c := newOwnCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	c.redis.Restart()
	c.node(0).wantOutcome("bob", "after the restart", Delivered)
	bob.wantGot("after the restart")
}

// While Redis is away local messages go on, others wait and are told the truth.
func TestRedisAway(t *testing.T) {
	c := newOwnCluster(t, 2, nil)
	bob, eve := c.node(1).connect("bob"), c.node(0).connect("eve")
	c.redis.Stop()
	c.node(0).wantTimeout("bob", "x")
	c.node(0).wantOutcome("eve", "local", Delivered)
	eve.wantGot("local")
	until(t, "the node says that it is not ready", func() bool { return c.node(0).unready() != nil })
	c.redis.Restart()
	until(t, "bob is reached again", func() bool { return <-c.node(0).sendTo("bob", "back") == Delivered })
	bob.await("got it", func() bool { return len(bob.got) > 0 && bob.got[len(bob.got)-1] == "back" })
	until(t, "the node is ready", func() bool { return c.node(0).unready() == nil })
}

// What reaches a private channel and is no batch is counted by what is wrong with it. So
// is JSON, which belongs on an inlet: it is not delivered.
func TestRubbishOnAPrivateChannelDoesNothing(t *testing.T) {
	c := newCluster(t, 1, nil)
	bob := c.node(0).connect("bob")
	n := c.node(0)
	say := func(payload string) { c.client.Publish(context.Background(), n.keys.Channel(n.opts.NodeID), payload) }
	for _, rubbish := range []string{"", "x", "{", "\x01\x00", "\x02abc", "\x02\x00\xff\xff",
		string(link.AppendHeader(nil, &link.Header{From: "x", Life: 5, First: 9, Base: 3})) + "\x01\x63",
		string(link.AppendClaimed(link.AppendHeader(nil, &link.Header{From: "x"}), "bob"))} {
		say(rubbish)
	}
	say(`{"to":"bob","from":"shop","data":{"order":7}}`)
	n.wantOutcome("bob", `"fine"`, Delivered)
	want := map[dropReason]float64{dropMalformed: 2, dropVersion: 3, dropJSON: 2, dropGap: 1, dropUnknownKind: 1}
	until(t, "all is counted", func() bool { return testutil.ToFloat64(n.drops[dropJSON]) == want[dropJSON] })
	for reason, want := range want {
		if got := testutil.ToFloat64(n.drops[reason]); got != want {
			t.Errorf("%s: %v dropped, want %v", dropNames[reason], got, want)
		}
	}
	bob.wantGot(`"fine"`)
}
