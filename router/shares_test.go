package router

import (
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// lacked returns how often a message found no room for that reason.
func (n *testNode) lacked(why overload) float64 { return testutil.ToFloat64(n.overload[why]) }

// narrow bounds the messages without an outcome to so many.
func (n *testNode) narrow(messages int) {
	n.room.limit = int64(messages)
}

// A receiver on the sender's own node that acknowledges nothing takes half of the room,
// however many clients write to it, and nobody else's messages are refused.
func TestUnconfirmedMessagesLeaveRoomForOthers(t *testing.T) {
	c := newCluster(t, 2, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	mute, ann, bob := n.connect("mute"), n.connect("ann"), c.node(1).connect("bob")
	n.narrow(1000)
	kept := 0
	for i := range 100 { // 100 senders of 20 messages each
		for range 20 {
			n.Router.Send(Message{From: strconv.Itoa(i), To: "mute", Data: []byte("1"), Confirm: true}, nil)
		}
	}
	kept, _ = n.pendingMessages()
	if kept != 500 {
		t.Errorf("%d messages wait for one receiver, want half of 1000", kept)
	}
	if lacked := n.lacked(overloadReceiver); lacked != 1500 {
		t.Errorf("%v messages were refused for their receiver's share, want 1500", lacked)
	}
	n.wantOutcome("bob", "x", Delivered)
	n.wantOutcome("mute", "without confirmation", Delivered)
	confirmed := n.confirmed("ann", "y")
	ann.wantGot("y")
	ann.confirm(ann.lastID())
	n.want(confirmed, Confirmed)
	bob.wantGot("x")
	n.expire()
	wantNothingPending(t, c)
	if got := len(mute.got); got != 501 {
		t.Errorf("the mute receiver got %d messages, want the 500 that were kept and one", got)
	}
}

// One sender takes half of the room, two a third each, and a third one finds room still.
func TestSendersShareTheRoom(t *testing.T) {
	c := newOwnCluster(t, 1, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	n.connect("mute")
	n.narrow(900)
	c.redis.Pause() // no lookup is answered
	defer c.redis.Resume()
	each := func(i int) string { return "nobody" + strconv.Itoa(i%300) }
	send := func(client string, most int) (sent int) {
		for ; sent < most; sent++ {
			full := false
			n.Router.Send(Message{From: client, To: each(sent), Data: []byte("1")}, func(_ MessageID, o Outcome) { full = o == Overloaded })
			if full {
				break
			}
		}
		return sent
	}
	if first := send("first", 900); first != 450 {
		t.Errorf("one sender has %d of 900, want half", first)
	}
	if second := send("second", 900); second != 225 {
		t.Errorf("a second one has %d, want half of what the first one left", second)
	}
	if third := send("third", 100); third != 100 {
		t.Errorf("a third one has %d, want all 100 that it sent", third)
	}
	n.expire()
	wantNothingPending(t, c)
	for i := range n.room.senders {
		for name, s := range n.room.senders[i].mu.of {
			if messages, bytes := s.messages.Load(), s.bytes.Load(); messages != 0 || bytes != 0 {
				t.Errorf("%s still has %d messages, %d bytes", name, messages, bytes)
			}
		}
	}
}

// The payloads that wait are shared as the messages are.
func TestBytesAreSharedToo(t *testing.T) {
	c := newOwnCluster(t, 1, func(o *Options) { o.MessageTimeout, o.MaxPendingBytes = 4*patience, 1000 })
	n := c.node(0)
	c.redis.Pause()
	defer c.redis.Resume()
	send := func(client string, size int) bool {
		full := false
		n.Router.Send(Message{From: client, To: "nobody", Data: make([]byte, size)}, func(_ MessageID, o Outcome) { full = o == Overloaded })
		return !full
	}
	if !send("large", 900) {
		t.Error("a single message that fits is refused")
	}
	if send("large", 60) {
		t.Error("who has most of the bytes gets more")
	}
	n.expire()
	wantNothingPending(t, c)
	for range 5 {
		if !send("ann", 100) {
			t.Error("less than half is refused")
		}
	}
	if send("ann", 100) {
		t.Error("more than half is taken by one")
	}
	if n.lacked(overloadSender) != 2 {
		t.Errorf("%v refusals are counted for a sender's share, want 2", n.lacked(overloadSender))
	}
	n.expire()
	wantNothingPending(t, c)
}

// What waits for a node that stands still leaves room to what is for others, also in
// bytes, and to the announcements without which nobody could connect.
func TestStalledNodeTakesNoMoreThanItsShare(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.MessageTimeout, o.MaxPendingBytes = 4*patience, 10_000 })
	n := c.node(0)
	c.node(1).connect("bob")
	eve := c.node(2).connect("eve")
	for _, to := range []string{"bob", "eve"} {
		n.wantOutcome(to, "first", Delivered)
	}
	stalled := n.suspend("n1")
	waiting := 0
	for i := range 200 { // of many senders, that the node's share is the bound
		m := Message{From: strconv.Itoa(i), To: "bob", Data: make([]byte, 100)}
		full := false
		n.Router.Send(m, func(_ MessageID, o Outcome) { full = o == Overloaded })
		if !full {
			waiting++
		}
		n.Flush()
		if i%50 == 0 {
			n.wantOutcome("eve", strconv.Itoa(i), Delivered)
		}
	}
	if waiting < 45 || waiting > 55 {
		t.Errorf("%d messages of 100 bytes wait, want about half of 10,000 bytes", waiting)
	}
	n.resume(stalled)
	n.flush()
	eve.await("got all", func() bool { return len(eve.got) == 5 })
	wantNothingPending(t, c)
}

func TestAnnouncementsHaveRoomOnAFullLink(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	l := n.suspend("n1")
	p := &pending{route: new(route)}
	sent := 0
	for room := roomy; room == roomy; {
		l.mu.Lock()
		if room = l.roomForLocked(n.Router, p); room == roomy {
			l.pushLocked(n.Router, n.now(), link.Frame{Payload: bare(link.KindVoid), Urgent: true})
			sent++
		}
		l.mu.Unlock()
	}
	if sent != link.MaxWindow-announcementRoom {
		t.Errorf("messages may take %d places of the window, want %d", sent, link.MaxWindow-announcementRoom)
	}
	if !n.push("n1", link.Frame{Payload: bare(link.KindVoid), Urgent: true}) {
		t.Error("an announcement finds no room")
	}
	l.do(n.Router, func(l *link.Link) { l.Clear(n.now()) })
	n.resume(l)
}

// An owner that the registry names gets a link although strangers' batches have made all
// that may be; it is no reason to say that its client is offline.
func TestOwnersHaveALinkAmongStrangers(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	in := newInbox(n.Router)
	for i := range maxPeers + 5 {
		in.handle(in.private, string(link.AppendHeader(nil, &link.Header{From: MessageID{1, uint64(i)}.String(), Life: 1, First: 1, Base: 1})))
	}
	n.wantOutcome("bob", "x", Delivered)
	bob.wantGot("x")
	for _, p := range n.peers.all() {
		n.suspend(p.node)
	}
	if n.peers.lockOrAdd("n2") != nil {
		t.Error("a peer is forgotten that something waits for")
	}
	n.queueAnnouncements("ann", []registry.Owner{{NodeID: "n2", Token: "1"}}, false, &answers{came: n.runtime.NewSignal()})
	n.answerTo("n3", &receiptPayload{client: "ann"})
	n.announcePruned("n4")
	if n.peers.len() > maxPeers {
		t.Errorf("there are %d peers, want %d at most", n.peers.len(), maxPeers)
	}
	for _, p := range n.peers.all() {
		n.resume(p)
	}
}

// Clients that have nothing under way are forgotten.
func TestSharesOfTheIdleAreForgotten(t *testing.T) {
	shares := newShares(maxIdleShares)
	busy := shares.get("busy")
	shares.add(busy, 1)
	for i := range 10 * maxIdleShares {
		s := shares.get(strconv.Itoa(i))
		shares.add(s, 1)
		s.bytes.Add(-1)
		shares.remove(s)
	}
	if n := len(shares.of); n > maxIdleShares+1 {
		t.Errorf("%d shares are kept, want at most %d", n, maxIdleShares+1)
	}
	if shares.get("busy") != busy {
		t.Error("a share that counts messages was forgotten")
	}
}

// Of the repeats of one message so many wait for its outcome; those beyond are refused.
func TestRepeatsUnderWayAreBounded(t *testing.T) {
	c := newOwnCluster(t, 1, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	c.redis.Pause()
	defer c.redis.Resume()
	outcomes := make(map[Outcome]int)
	for range 3 * maxAlso {
		n.Router.Send(Message{From: "ann", To: "nobody", Ref: []byte("1"), Data: []byte("1")}, func(_ MessageID, o Outcome) { outcomes[o]++ })
	}
	if want := 2*maxAlso - 1; outcomes[Overloaded] != want || len(outcomes) != 1 {
		t.Errorf("at once there are the outcomes %v, want %d overloaded", outcomes, want)
	}
	n.expire()
	wantNothingPending(t, c)
}

// A sender with many messages that wait is told at once that a receiver's node does not
// answer; others wait for it, and the sender's messages to other nodes go on.
func TestCrowdedSenderDoesNotWaitForAStalledNode(t *testing.T) {
	c := newCluster(t, 3, func(o *Options) { o.MessageTimeout = 4 * patience })
	n := c.node(0)
	bob, eve := c.node(1).connect("bob"), c.node(2).connect("eve")
	n.wantOutcome("bob", "0", Delivered)
	n.wantOutcome("eve", "0", Delivered)
	stalled := n.suspend("n1")
	crowded := func(to, data string) <-chan Outcome {
		out := make(chan Outcome, 1)
		n.Send(Message{From: "ann", To: to, Data: []byte(data), Crowded: true}, func(_ MessageID, o Outcome) { out <- o })
		return out
	}
	waits := n.sendTo("bob", "1")
	n.want(crowded("bob", "refused"), Overloaded)
	n.want(crowded("eve", "1"), Delivered)
	if n.lacked(overloadStalled) != 1 {
		t.Errorf("%v refusals are counted, want 1", n.lacked(overloadStalled))
	}
	wantNone(t, waits)
	n.resume(stalled)
	n.flush()
	n.want(waits, Delivered)
	n.want(crowded("bob", "2"), Delivered)
	bob.wantGot("0", "1", "2")
	eve.wantGot("0", "1")
}
