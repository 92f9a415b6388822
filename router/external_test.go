package router

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
)

// readTestExternal stands in for package node.
func readTestExternal(payload []byte) External {
	var f struct {
		To, Reply string
		ID, Data  json.RawMessage
	}
	if err := json.Unmarshal(payload, &f); err != nil {
		return External{Reason: "malformed", Text: err.Error()}
	}
	return External{Message: Message{To: f.To, From: "shop", Data: f.Data, Ref: f.ID}, Reply: f.Reply}
}

func withInlet(o *Options) { o.ReadExternal = readTestExternal }

// awaitInlet returns once a node takes what is published to its inlet.
func (n *testNode) awaitInlet() {
	n.t.Helper()
	channel := n.keys.Inlet(n.opts.NodeID)
	until(n.t, "the inlet is subscribed", func() bool {
		if !n.reg.OneMaster() {
			return n.client.SPublish(context.Background(), channel, "").Val() == 1
		}
		return n.client.Publish(context.Background(), channel, "").Val() == 1
	})
}

// In a Cluster the inlets and the channels for receipts are sharded, as private ones are.
func TestInletOfACluster(t *testing.T) {
	c := newShardedCluster(t, 3, withInlet)
	bob := c.node(1).connect("bob")
	replies := c.client.SSubscribe(t.Context(), c.node(0).keys.Reply("shop"))
	defer replies.Close()
	if _, err := replies.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, n := range c.nodes {
		n.awaitInlet()
		c.client.SPublish(t.Context(), n.keys.Inlet(n.opts.NodeID), fmt.Sprintf(`{"to":"bob","data":%d,"id":%d,"reply":"shop"}`, i, i))
		m, err := replies.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"type":"receipt","id":%d,"outcome":"delivered"}`, i); m.Payload != want {
			t.Errorf("receipt %s, want %s", m.Payload, want)
		}
	}
	bob.wantGot("0", "1", "2")
}

// Publishers that send more than the cluster takes are told so; there is room for what sessions
// send, and what nodes tell each other arrives.
func TestFloodOfAnInletLeavesRoomForSessions(t *testing.T) {
	c := newCluster(t, 2, withInlet)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	n.awaitInlet()
	n.wantOutcome("bob", "before", Delivered)
	mute := c.client.Subscribe(t.Context(), n.keys.Channel("mute")) // a node without a lease
	defer mute.Close()
	if _, err := mute.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.peers.lockOrAdd("mute").mu.Unlock() // what waits for an owner that never answers has no outcome
	c.client.HSet(t.Context(), n.keys.Address("stuck"), "mute", "1")
	c.client.HSet(t.Context(), n.keys.Node("mute"), "started", "1")
	const more = 500
	for sent := 0; sent < maxExternal+more; {
		pipe := c.client.Pipeline()
		for range 1000 {
			if sent++; sent <= maxExternal+more {
				pipe.Publish(t.Context(), n.keys.Inlet("n0"), `{"to":"stuck","data":`+strconv.Itoa(sent)+`}`)
			}
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	overloaded := n.m.Router.ExternalMessages.WithLabelValues("overloaded")
	until(t, "what is too much is refused", func() bool { return testutil.ToFloat64(overloaded) >= more })
	n.wantOutcome("bob", "during", Delivered)
	bob.wantGot("before", "during")
	n.inlet.mu.Lock()
	if n.inlet.inFlight != maxExternal {
		t.Errorf("%d messages are in flight, want %d", n.inlet.inFlight, maxExternal)
	}
	n.inlet.mu.Unlock()
	n.expire()
	until(t, "all have an outcome", func() bool {
		n.inlet.mu.Lock()
		defer n.inlet.mu.Unlock()
		return n.inlet.inFlight == 0 && n.inlet.inFlightBytes == 0
	})
}

// Receipts that Redis does not take wait, and no more than a few thousand of them.
func TestWaitingReceiptsAreBounded(t *testing.T) {
	n := newCluster(t, 1, nil).node(0)
	in := newInlet(n.Router) // nobody publishes what waits there
	for range maxReceipts + 7 {
		in.queue(receipt{channel: n.keys.Reply("shop"), payload: []byte("{}")})
	}
	if got := testutil.ToFloat64(n.m.Router.ExternalReceipts.WithLabelValues(receiptDropped)); got != 7 || len(in.receipts) != maxReceipts {
		t.Errorf("%d receipts wait and %v were dropped", len(in.receipts), got)
	}
	sub := n.client.Subscribe(t.Context(), n.keys.Reply("shop"))
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	in.publishReceipts(t.Context())
	if got := testutil.ToFloat64(n.m.Router.ExternalReceipts.WithLabelValues(receiptPublished)); got != maxReceipts || in.receipts != nil {
		t.Errorf("%v receipts were published, want %d", got, maxReceipts)
	}
}

// A node that stops says what became of what was on its way.
func TestStoppedNodeSendsTheReceiptsThatAreDue(t *testing.T) {
	c := newOwnCluster(t, 1, withInlet)
	n := c.node(0)
	n.awaitInlet()
	replies := c.client.Subscribe(t.Context(), n.keys.Reply("shop"))
	defer replies.Close()
	if _, err := replies.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.client.HSet(t.Context(), n.keys.Address("stuck"), "mute", "1")
	c.client.HSet(t.Context(), n.keys.Node("mute"), "started", "1")
	mute := c.client.Subscribe(t.Context(), n.keys.Channel("mute"))
	defer mute.Close()
	if _, err := mute.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.client.Publish(t.Context(), n.keys.Inlet("n0"), `{"to":"stuck","data":1,"id":"x","reply":"shop"}`)
	until(t, "it is on its way", func() bool {
		count, _ := n.pendingMessages()
		return count == 1
	})
	n.stop()
	m, err := replies.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"type":"receipt","id":"x","outcome":"timeout"}`; m.Payload != want {
		t.Errorf("receipt %s, want %s", m.Payload, want)
	}
}

// While an inlet connects to a Redis that does not answer, whoever tells what became of its
// messages does not wait for that: it may be a sweep, or an event loop.
func TestInletThatConnectsHoldsUpNoOutcome(t *testing.T) {
	n := newCluster(t, 1, withInlet).node(0)
	n.awaitInlet()
	hook := heldDials{begun: make(chan struct{}, 1), held: make(chan struct{})}
	free := sync.OnceFunc(func() { close(hook.held) })
	defer free()
	n.client.AddHook(hook)
	n.inlet.sub.Reset()
	<-hook.begun
	told := make(chan struct{})
	go func() {
		defer close(told)
		if n.inlet.admit(1) {
			n.inlet.settle(1)
		}
		n.inlet.conclude("shop", nil, Delivered, "", "")
	}()
	select {
	case <-told:
	case <-time.After(patience):
		t.Error("the outcome waits for the connection")
	}
	free()
	<-told
	n.awaitInlet()
}

// heldDials keeps a client's new connections from Redis until held is closed.
type heldDials struct{ begun, held chan struct{} }

func (h heldDials) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case h.begun <- struct{}{}:
		default:
		}
		<-h.held
		return next(ctx, network, addr)
	}
}

func (heldDials) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (heldDials) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
