package link

import (
	"fmt"
	"slices"
	"time"
)

// world is two nodes that send each other messages over a bus that loses, doubles, delays
// and reorders batches, on connections that break. Nodes restart, forget each other, and
// others make up lives of their links. It knows what must hold all the same:
//
//   - each frame is settled exactly once, and in the end all are;
//   - what is settled as delivered was delivered, and what is settled as dead was not;
//   - nothing is delivered twice, and for an address everything in the order sent;
//   - the links' invariants.
//
// What happens is chosen by a source of bytes, so that a fuzzer can choose it.
type world struct {
	choose func() byte
	now    time.Time
	nodes  [2]*worldNode
	calm   bool // nothing goes wrong any more
	failed error
	rules  worldRules

	steps, delivered int

	tell func(string) // the history, if somebody wants to read it
}

// worldRules are what may happen in a world. Where a receiver may lose what it knows about a
// link whose frames are on their way, no queue is full: the nack of one that was goes with the
// rest, and it may be delivered behind later ones when it is sent again.
type worldRules struct {
	forged  bool // others make up lives, since nodes have no key
	forgets bool // links are forgotten that the peer is using; else after a long silence
	relayed bool // PUBLISH may count nobody although the peer receives
}

// worldNode is a node as its peer knows it: a restarted one is another.
type worldNode struct {
	w       *world
	number  int
	lives   *Lives
	l       *Link
	sent    []*worldMessage
	routes  [3]worldRoute
	replies []worldReply // of PUBLISH, in order
	coming  [][]byte     // batches on their way to it
	room    []Settled
	buffer  []byte
	last    [3]int // behind the last message that was delivered for each address
}

type worldReply struct {
	batch     Batch
	receivers int64
}

// worldRoute is what the router's route is: it keeps the order of what must be sent again.
type worldRoute struct {
	inflight int
	mending  bool
	back     []*worldMessage
	waiting  []*worldMessage
}

// worldMessage is a payload.
type worldMessage struct {
	from      *worldNode
	number    int
	address   int
	size      int
	urgent    bool
	pushed    int
	settled   int
	received  bool
	concluded bool
}

var worldAddresses = [3]string{"ann", "bob", "eve"}

func (m *worldMessage) Append(b []byte, f *Frame) ([]byte, Kind) {
	id := MessageID{uint64(m.from.number), uint64(m.number)}
	if f.Withdrawn {
		return AppendWithdrawn(b, id), KindWithdrawn
	}
	var flags byte
	if f.First {
		flags = FlagFirst
	}
	return AppendMessage(b, &Message{ID: id, From: "x", To: worldAddresses[m.address], Flags: flags}), KindMessage
}

func worldRefused(p Payload) bool {
	m, ok := p.(*worldMessage)
	return ok && m.from.routes[m.address].mending
}

func newWorld(choose func() byte, rules worldRules) *world {
	w := &world{choose: choose, now: storyBegin, rules: rules}
	for i := range w.nodes {
		lives := NewLives(func() uint64 { return uint64(choose()) })
		w.nodes[i] = &worldNode{w: w, number: i, lives: lives, l: New(w.now, worldOptions(lives))}
	}
	return w
}

func worldOptions(lives *Lives) Options {
	return Options{Lives: lives, LazyAck: time.Second, ReplyTime: 3 * time.Second}
}

func (w *world) fail(format string, args ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf("step %d: "+format, append([]any{w.steps}, args...)...)
	}
}

// say tells what has happened to a node.
func (n *worldNode) say(format string, args ...any) {
	if n.w.tell != nil {
		n.w.tell(fmt.Sprintf("%d: node %d %s: %s", n.w.steps, n.number, fmt.Sprintf(format, args...), n.l))
	}
}

// chance is true in so many of 256 cases, and never when it is calm.
func (w *world) chance(of256 int) bool { return !w.calm && int(w.choose()) < of256 }

// step does one thing.
func (w *world) step() {
	w.steps++
	what := w.choose()
	n, peer := w.nodes[what&1], w.nodes[1-what&1]
	switch what >> 1 % 16 {
	case 0, 1, 2, 3:
		n.send()
	case 4, 5, 6:
		n.publish(peer)
	case 7, 8, 9:
		n.take()
	case 10, 11:
		n.reply()
	case 12:
		w.pass(time.Duration(w.choose()) * 2 * time.Millisecond)
	case 13:
		if n.l.State() == StateSuspended {
			n.l.Resume(w.now)
		}
	case 14:
		n.trouble(peer)
	case 15:
		n.l.RequestAck(w.now)
	}
	w.check()
}

func (w *world) check() {
	for _, n := range w.nodes {
		if err := n.l.Check(); err != nil {
			w.fail("node %d: %w", n.number, err)
		}
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, n := range w.nodes {
		n.l.Tick(w.now)
	}
}

// trouble is what happens seldom.
func (n *worldNode) trouble(peer *worldNode) {
	w := n.w
	switch w.choose() % 16 {
	case 0:
		w.restart(n, peer)
	case 1:
		n.takeForDead()
	case 2, 3, 4:
		n.loseConnection()
	case 5, 6, 7, 8:
		n.forget(peer)
	case 9, 10, 11:
		if w.rules.forged {
			n.hearForged()
		}
	default:
		w.pass(time.Duration(w.choose()) * 20 * time.Millisecond)
	}
}

// send sends one more message, unless many wait.
func (n *worldNode) send() {
	c := int(n.w.choose())
	rt := &n.routes[c%3]
	if len(rt.waiting)+len(rt.back)+n.l.Len() > 30 {
		return
	}
	m := &worldMessage{from: n, number: len(n.sent), address: c % 3, size: c, urgent: c&4 != 0}
	if c > 250 {
		m.size = largeFrame + c
	}
	n.sent = append(n.sent, m)
	if rt.mending || len(rt.waiting) > 0 {
		rt.waiting = append(rt.waiting, m)
		return
	}
	n.push(rt, m)
}

func (n *worldNode) push(rt *worldRoute, m *worldMessage) {
	first := rt.inflight == 0
	rt.inflight++
	m.pushed++
	n.say("pushes %d for %s, first: %v", m.number, worldAddresses[m.address], first)
	if !n.l.Push(n.w.now, Frame{Payload: m, Size: m.size, First: first, Urgent: m.urgent}) {
		n.w.fail("no room")
	}
}

// publish publishes what is due. It may reach the peer or not, whatever PUBLISH says.
func (n *worldNode) publish(peer *worldNode) {
	if !n.l.Ready() {
		return
	}
	w := n.w
	var batch Batch
	n.buffer, batch, _ = n.l.Batch(w.now, Header{From: "n", Life: 1}, n.buffer[:0])
	reply := worldReply{batch, 1}
	arrives := 1
	switch {
	case w.chance(12): // Redis has cut the peer's subscription
		arrives = 0
	case w.chance(8): // the peer is not subscribed
		arrives, reply.receivers = 0, 0
	case w.rules.relayed && w.chance(12): // it is, at the former master
		reply.receivers = 0
	case w.chance(10):
		reply.receivers, arrives = -1, int(w.choose()%2)
	case w.chance(10):
		arrives = 2
	}
	for range arrives {
		peer.coming = append(peer.coming, slices.Clone(n.buffer))
	}
	n.replies = append(n.replies, reply)
	n.say("publishes %+v, which arrives %d times", reply, arrives)
}

// reply takes the oldest reply to PUBLISH.
func (n *worldNode) reply() {
	if len(n.replies) > 0 {
		r := &n.replies[0]
		n.l.Published(n.w.now, &r.batch, r.receivers, r.receivers < 0)
		n.say("takes the reply %+v", *r)
		n.replies = slices.Delete(n.replies, 0, 1)
	}
}

// loseConnection has all replies be missing.
func (n *worldNode) loseConnection() {
	n.say("loses its connection")
	for i := range n.replies {
		n.l.Published(n.w.now, &n.replies[i].batch, 0, true)
		n.l.GoBack()
	}
	n.replies = n.replies[:0]
}

// forget has the node forget a link that is not in use.
func (n *worldNode) forget(peer *worldNode) {
	if !n.l.Unused() || len(n.replies) > 0 {
		return
	}
	if !n.w.rules.forgets && (len(n.coming) > 0 || peer.l.Len() > 0) {
		return
	}
	if !n.w.rules.forged {
		n.lives.Forget(n.l.PeerLife())
	}
	n.l = New(n.w.now, worldOptions(n.lives))
}

// restart has n be another node with an empty memory. Its peer learns that it is dead.
func (w *world) restart(n, peer *worldNode) {
	n.say("restarts")
	for _, m := range n.sent {
		m.concluded = true // nobody waits any more
	}
	again := &worldNode{w: w, number: n.number, lives: NewLives(n.lives.chance)}
	again.sent = n.sent // the numbers go on
	again.l = New(w.now, worldOptions(again.lives))
	w.nodes[n.number&1] = again
	again.last = n.last
	peer.coming = nil
	settled := peer.declareDead()
	peer.l = New(w.now, worldOptions(peer.lives))
	peer.settle(settled)
}

// takeForDead has the node take its peer for dead, which lives.
func (n *worldNode) takeForDead() {
	n.say("takes the peer for dead")
	n.settle(n.declareDead())
}

// declareDead is the link's part of that. To find out takes longer than PUBLISH's replies.
func (n *worldNode) declareDead() []Settled {
	for len(n.replies) > 0 {
		n.reply()
	}
	n.l.Suspend()
	return n.l.DeclareDead(n.w.now, !n.w.rules.relayed, n.takeRoom())
}

// hearForged has a batch come that somebody has made up, of a life that may be newer than
// the peer's, or an acknowledgement of one of the node's. It is not just the peer's next:
// whoever knows that can use up numbers of it.
func (n *worldNode) hearForged() {
	c := uint64(n.w.choose())
	life := n.l.PeerLife() + c<<(c%50) | 1<<62 | 1<<(chanceBits-1) // the world's own chance is smaller
	h := Header{From: "n", Life: life, First: 1 + c%4, Base: 1 + c%2}
	if h.First < h.Base || life-n.l.PeerLife() < 1<<10 {
		return
	}
	if c%5 == 0 {
		h.Ack = Ack{Life: n.l.Life() + 1 + c<<(c%40), UpTo: c}
	}
	n.say("hears what somebody has made up")
	b := AppendHeader(nil, &h)
	for range c % 3 {
		b = AppendBare(b, KindVoid)
	}
	n.handle(b)
}

// take takes one of the batches that are on their way, mostly the first.
func (n *worldNode) take() {
	if len(n.coming) == 0 {
		return
	}
	i := 0
	if n.w.chance(40) {
		i = int(n.w.choose()) % min(len(n.coming), 8)
	}
	b := n.coming[i]
	if !n.w.chance(10) { // else it stays, to come again
		n.coming = slices.Delete(n.coming, i, i+1)
	}
	n.handle(b)
}

func (n *worldNode) handle(b []byte) {
	w := n.w
	h, envelopes, count, err := readBatch(string(b))
	if err != nil {
		w.fail("%w", err)
		return
	}
	n.say("takes %d frames of %+v", count, h)
	settled, _ := n.l.Acknowledge(w.now, h.Ack, worldRefused, n.takeRoom())
	skip, ok := n.l.Receive(w.now, &h, count, 16)
	n.settle(settled)
	if !ok {
		return
	}
	var nacks []Nack
	for i := range count {
		e := envelopes.Next()
		if i < skip {
			continue
		}
		if code := n.receive(e); code != 0 {
			nacks = append(nacks, Nack{h.First + uint64(i), code})
		}
	}
	if count <= skip {
		return
	}
	within := time.Second
	if w.choose()&1 == 0 {
		within = PromptAck
	}
	n.l.Received(w.now, &h, count, skip, len(b), nacks, within)
}

// receive takes one envelope and returns why it is refused, if it is.
func (n *worldNode) receive(e Envelope) NackCode {
	w := n.w
	switch e.Kind {
	case KindWithdrawn:
		id := e.Withdrawn()
		if w.nodes[id.Origin].sent[id.Count].received {
			return 0
		}
		return NackOverloaded
	case KindVoid:
		return 0
	}
	read, ok := e.Message()
	if !ok {
		w.fail("malformed")
		return NackOverloaded
	}
	m := w.nodes[read.ID.Origin].sent[read.ID.Count]
	switch refused := n.l.Refused(); {
	case m.received:
		return 0 // it is known by its ID
	case !refused.Admits(read.To, read.Flags&FlagFirst != 0):
		refused.Add(read.To, w.now, time.Minute, MaxRefused)
		return NackJoining
	case w.chance(20):
		refused.Add(read.To, w.now, time.Minute, MaxRefused)
		return []NackCode{NackJoining, NackNotHere, NackStale}[int(w.choose())%3]
	case !w.rules.forged && !w.rules.forgets && w.chance(5):
		return NackOverloaded
	}
	m.received = true
	n.say("delivers %d to %s", m.number, read.To)
	w.delivered++
	if last := n.last[m.address]; m.number < last {
		w.fail("for %s message %d was delivered after %d", read.To, m.number, last)
	}
	n.last[m.address] = m.number + 1
	return 0
}

func (n *worldNode) takeRoom() []Settled {
	room := n.room
	n.room = nil
	return room[:0]
}

// settle takes the results, as the router's routes do.
func (n *worldNode) settle(settled []Settled) {
	for _, s := range settled {
		m := s.Payload.(*worldMessage)
		rt := &n.routes[m.address]
		rt.inflight--
		n.say("has settled %d for %s as %s", m.number, worldAddresses[m.address], s.Result)
		if m.settled++; m.settled != m.pushed || m.concluded {
			n.w.fail("message %d was pushed %d times and settled %d times, at last as %s", m.number, m.pushed, m.settled, s.Result)
		}
		switch s.Result {
		case AckDelivered:
			if m.concluded = true; !m.received {
				n.w.fail("message %d was called delivered", m.number)
			}
		case AckDead, AckOverloaded, AckTooLarge:
			if m.received {
				n.w.fail("message %d was delivered and is called %s", m.number, s.Result)
			}
			if m.concluded = s.Result != AckDead; m.concluded {
				break
			}
			rt.sendLater(m)
		case AckUnknown:
			m.concluded = true
		default:
			rt.sendLater(m)
		}
	}
	clear(settled)
	n.room = settled
	for i := range n.routes {
		n.sendAgain(&n.routes[i])
	}
}

// sendLater has a message sent again when all others were answered.
func (rt *worldRoute) sendLater(m *worldMessage) {
	rt.mending = true
	i, _ := slices.BinarySearchFunc(rt.back, m, func(a, b *worldMessage) int { return a.number - b.number })
	rt.back = slices.Insert(rt.back, i, m)
}

func (n *worldNode) sendAgain(rt *worldRoute) {
	if rt.inflight > 0 {
		return
	}
	rt.mending = false
	again := append(rt.back, rt.waiting...)
	rt.back, rt.waiting = nil, nil
	for _, m := range again {
		n.push(rt, m)
	}
}

// settleAll has nothing go wrong any more, until everything is settled.
func (w *world) settleAll() {
	w.calm = true
	for range 200 {
		for i, n := range w.nodes {
			for n.l.Ready() {
				n.publish(w.nodes[1-i])
			}
			for len(n.replies) > 0 {
				n.reply()
			}
			for len(n.coming) > 0 {
				n.take()
			}
			if n.l.State() == StateSuspended {
				n.l.Resume(w.now)
			}
		}
		w.check()
		w.pass(200 * time.Millisecond)
	}
	for _, n := range w.nodes {
		if n.l.Len() > 0 {
			w.fail("node %d has unsettled frames: %s", n.number, n.l)
		}
		for _, m := range n.sent {
			if !m.concluded {
				w.fail("message %d has no outcome", m.number)
			}
		}
	}
}
