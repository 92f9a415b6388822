package router

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// unsubscribe keeps a node from subscribing until the result is called, as a partition
// or a frozen process would.
func (n *testNode) unsubscribe() (hear func()) {
	n.subscribing.Lock()
	n.in.sub.Reset()
	hear = sync.OnceFunc(n.subscribing.Unlock)
	n.t.Cleanup(hear) // of a test that fails; the node could not stop
	return hear
}

func (n *testNode) declaredDead() (count int) {
	for _, p := range n.peers.all() {
		if p.dead.Load() {
			count++
		}
	}
	return count
}

// A node that was taken for dead and comes back is reached again.
func TestReturnedNodeIsReachable(t *testing.T) {
	c := newHastyCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "1", Delivered)
	hear := c.node(1).unsubscribe()
	until(t, "the node is declared dead", func() bool {
		<-c.node(0).sendTo("bob", "x")
		return c.node(0).declaredDead() > 0
	})
	hear()
	until(t, "it is healthy again", func() bool { return c.node(1).unready() == nil })
	carol := c.node(1).connect("carol")
	c.node(0).wantOutcome("carol", "hi", Delivered)
	carol.wantGot("hi")
	until(t, "its earlier client is back", func() bool { return <-c.node(0).sendTo("bob", "late") == Delivered })
	bob.await("got the last", func() bool { return bob.got[len(bob.got)-1] == "late" })
}

// While a node's lease had ended, claims did not wait for it: it must not go on
// believing that nobody else owns its addresses.
func TestReturnedNodeIsNotAlone(t *testing.T) {
	c := newHastyCluster(t, 3, nil)
	here := c.node(1).connect("bob")
	hear := c.node(1).unsubscribe()
	until(t, "its lease has ended", func() bool {
		_, ok, err := c.node(2).reg.Node(context.Background(), "n1")
		return err == nil && !ok
	})
	there := c.node(2).connect("bob")
	hear()
	until(t, "it is healthy again", func() bool { return c.node(1).unready() == nil })
	c.node(1).wantOutcome("bob", "both", Delivered)
	here.wantGot("both")
	there.wantGot("both")
}

// A host that vanished leaves a subscriber at Redis for minutes: PUBLISH finds a
// listener, but nobody answers. Its node lease ends, and that decides.
func TestVanishedHostBlocksNobody(t *testing.T) {
	c := newHastyCluster(t, 3, nil)
	c.node(1).connect("bob")
	ghost := c.client.Subscribe(context.Background(), c.node(1).keys.Channel("n1"))
	defer ghost.Close()
	if _, err := ghost.Receive(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.node(1).die()
	bob := c.node(2).connect("bob")
	c.node(0).wantOutcome("bob", "moved", Delivered)
	bob.wantGot("moved")
}

// Redis loses its data while a node is unsubscribed for a moment: its missing lease proves
// nothing then.
func TestFlushWhileUnsubscribedKillsNobody(t *testing.T) {
	c := newOwnCluster(t, 2, nil)
	bob := c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "1", Delivered)
	hear := c.node(1).unsubscribe()
	out := c.node(0).sendTo("bob", "2")
	until(t, "the node is suspect", func() bool {
		return c.node(0).peers.stalls("n1")
	})
	c.client.FlushAll(context.Background())
	looked := make(chan struct{}, 1<<10)
	c.node(0).client.(*redis.Client).AddHook(&onScript{key: c.node(0).keys.Node("n1"), run: func() { looked <- struct{}{} }})
	until(t, "the probe has looked at the emptied Redis", func() bool { return len(looked) > 1 })
	hear()
	c.node(0).want(out, Delivered)
	bob.wantGot("1", "2")
	if c.node(0).declaredDead() > 0 {
		t.Error("a living node was declared dead")
	}
}

// What has met its deadline leaves its number on the link, and no payload.
func TestExpiredMessagesKeepNoMemory(t *testing.T) {
	const messages = 50
	c := newCluster(t, 2, nil)
	c.node(1).connect("bob")
	n := c.node(0)
	defer c.node(1).holdInbox()()
	var outs []<-chan Outcome
	for range messages {
		outs = append(outs, n.sendTo("bob", string(make([]byte, 1<<10))))
	}
	until(t, "they are on the link", func() bool {
		return n.unacknowledged("n1") == messages
	})
	n.expire()
	for _, out := range outs {
		n.want(out, Timeout)
	}
	kept := 0
	n.peers.get("n1").link.Payloads(func(x link.Payload) bool {
		if p, ok := x.(*pending); ok {
			kept += len(p.Data)
		}
		return true
	})
	if kept > 0 {
		t.Errorf("%d bytes are kept", kept)
	}
}

// Whoever may publish can invent node names; the links they make are bounded.
func TestStrangersMakeNoMoreLinksThanAreAllowed(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	in := newInbox(n.Router)
	for i := range maxPeers + 5 {
		in.handle(in.private, string(link.AppendHeader(nil, &link.Header{From: MessageID{1, uint64(i)}.String(), Life: 1, First: 1, Base: 1})))
	}
	if n.peers.len() > maxPeers {
		t.Errorf("%d links, want at most %d", n.peers.len(), maxPeers)
	}
}

// A message that was refused because an earlier one was may be sent again as late as
// its own deadline: until then none that came later may pass it.
func TestRefusedAddressIsRememberedFromTheLastMessage(t *testing.T) {
	c := newCluster(t, 1, func(o *Options) { o.MessageTimeout = 10 * time.Second })
	in, from, began := newInbox(c.node(0).Router), new(link.Refused), time.Now()
	count := uint64(0)
	refuse := func(after time.Duration, address string) {
		t.Helper()
		count++
		in.now = began.Add(after)
		a := receivedMessage{Message: Message{ID: MessageID{1, count}, To: address}, accepted: in.now.UnixMicro()}
		if code := in.message(from, &a); code == 0 {
			t.Fatalf("a message to %s was taken after %v", address, after)
		}
	}
	refuse(0, "somebody else")
	refuse(9*time.Second, "bob")
	refuse(11*time.Second, "another") // a generation later
	refuse(12*time.Second, "bob")     // is remembered until 22 s
	bob := c.node(0).connect("bob")
	refuse(21500*time.Millisecond, "a third") // the next generation
	refuse(21900*time.Millisecond, "bob")
	if len(bob.got) > 0 {
		t.Errorf("bob got %q", bob.got)
	}
}

// While a claim waits its entry is there, and what is sent to its address goes to its node,
// too. It goes with the client, and so does that of a client which waits behind it.
func TestClaimOfAClientThatHasGoneIsWithdrawn(t *testing.T) {
	c := newOwnCluster(t, 1, nil)
	n := c.node(0)
	mute := c.client.Subscribe(t.Context(), n.keys.Channel("mute")) // a node without a lease
	defer mute.Close()
	if _, err := mute.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.do([]any{"FLUSHALL"})
	results := make(chan error, 2)
	first, second := newTestSession(n, "bob"), newTestSession(n, "bob")
	for _, s := range []*testSession{first, second} {
		n.JoinAsync(time.Now().Add(time.Hour), "bob", s, func(err error) { results <- err })
	}
	until(t, "the claim is written", func() bool { return len(c.owners("bob")) == 1 })
	n.Withdraw("bob", second)
	n.Withdraw("bob", first)
	for _, want := range []error{registry.ErrUnsettled, errWithdrawn} {
		if err := <-results; !errors.Is(err, want) {
			t.Errorf("the join ends with %v, want %v", err, want)
		}
	}
	until(t, "its entry has gone", func() bool { return len(c.owners("bob")) == 0 })

	ctx, goes := context.WithCancel(t.Context())
	go func() { results <- n.Join(ctx, "alice", newTestSession(n, "alice")) }()
	until(t, "another claim is written", func() bool { return len(c.owners("alice")) == 1 })
	goes()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the join ends with %v, want %v", err, context.Canceled)
	}
	until(t, "its entry has gone", func() bool { return len(c.owners("alice")) == 0 })
}

// So it is while the other owners are told of it.
func TestClientThatHasGoneIsNotWaitedFor(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	first, second := c.node(0), c.node(1)
	first.connect("bob")
	defer first.holdInbox()() // it does not acknowledge the announcement of the claim
	s, result := newTestSession(second, "bob"), make(chan error, 1)
	second.JoinAsync(time.Now().Add(time.Hour), "bob", s, func(err error) { result <- err })
	until(t, "the claim is written", func() bool { return len(c.owners("bob")) == 2 })
	second.Withdraw("bob", s)
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("the join ends with %v, want %v", err, context.Canceled)
	}
	until(t, "the claim is undone", func() bool { return len(c.owners("bob")) == 1 })
}

// While a claim is under way its node's lease may end, as when the network stalls. Then
// others take the node for dead, and would call a client that it welcomed offline.
func TestNobodyIsWelcomedByANodeWithoutALease(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	first, second := c.node(0), c.node(1)
	first.connect("bob")
	hear := first.holdInbox() // it does not acknowledge the announcement of the claim
	defer hear()
	result := make(chan error, 1)
	go func() {
		_, err := second.tryConnect("bob")
		result <- err
	}()
	until(t, "the claim is written", func() bool { return len(c.owners("bob")) == 2 })
	second.leaseUntil.Store(0)
	hear()
	if err := <-result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("the join ends with %v, want %v", err, ErrUnavailable)
	}
	until(t, "the claim is undone", func() bool { return len(c.owners("bob")) == 1 })
}

// A node that has become a receiver's owner need not ask who was before, and may not
// answer.
func TestCachedOwnersDoNotKeepANodeFromItsOwnClients(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n, before := c.node(0), c.node(1)
	first := before.connect("bob")
	n.wantOutcome("bob", "1", Delivered)
	first.leave()
	until(t, "he is released", func() bool { return len(c.owners("bob")) == 0 })
	defer before.holdInbox()() // it does not answer any more
	second := n.connect("bob")
	n.wantOutcome("bob", "2", Delivered)
	second.wantGot("2")
}

// A cached owner may be unsubscribed for long without being dead for sure. Its clients are looked
// for meanwhile: they may be on another node.
func TestClientsOfAnUnsubscribedNodeAreLookedFor(t *testing.T) {
	c := newRelaxedCluster(t, 2)
	n, before := c.node(0), c.node(1)
	next := startNode(t, "n2", c.redis.Client(t), c.prefix, time.Minute, nil)
	first := before.connect("bob")
	n.wantOutcome("bob", "1", Delivered)
	first.leave()
	until(t, "he is released", func() bool { return len(c.owners("bob")) == 0 })
	before.unsubscribe()
	late := n.sendTo("bob", "2")
	until(t, "the node is suspect", func() bool {
		return n.peers.stalls("n1")
	})
	second := next.connect("bob")
	out := n.sendTo("bob", "3")
	_, s := n.lockNewRoute("bob") // the deadline of the first one comes: what is behind it need not wait any more
	s.pending.oldest.deadline = n.now()
	s.setDeadlineBy(&s.expiry, n.now())
	s.unlockAndNotify()
	n.want(late, Timeout)
	n.want(out, Delivered)
	second.wantGot("3")
}
