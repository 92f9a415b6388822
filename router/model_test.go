package router

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/bus"
	"github.com/beeline-ws/beeline/router/link"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "run the model of moving clients with this seed only")
	modelSeeds = flag.Int("model.seeds", 0, "run the model of moving clients with so many random seeds, too")
)

// The model knows nothing of routes, links or caches. It knows when a session was
// welcomed and when it began to leave, when a message was sent and what became of
// it, and what must follow:
//
//   - every send with a receipt has exactly one outcome;
//   - a message reaches every session that was welcomed before it was sent and
//     that stayed until the sender's node was done with it, and is delivered then;
//   - what is called delivered has arrived somewhere;
//   - nobody is told offline about a client that had a session all the while;
//   - a session gets the messages of one sender in the order sent, none twice, and
//     none of another client's;
//   - only a newer session evicts one, and then exactly one stays.
//
// Delivered is told at the first session's answer, while other owners may still
// have to get the message: so it is owed to sessions that stay until the sender's
// node has no more to do with it, not only until its outcome.
//
// While Redis has lost its data, owners may be missing from it until their node
// has verified its leases (docs/design.md, Epochs). A message of that time need
// not reach all sessions, nor in time; all else holds.
type variant struct {
	name    string
	start   func(testing.TB, int, func(*Options)) *cluster
	rule    registry.Duplicates
	entries int // Options.OwnerCache
	trouble func(*model)
	harmful bool // the connections that publish can be harmed
}

var variants = []variant{
	{"allow/cached", newCluster, registry.Allow, 0, nil, false},
	{"allow/cached two at a time", newCluster, registry.Allow, 2, nil, false},
	{"allow/looked up", newCluster, registry.Allow, -1, nil, false},
	{"allow/cached/signed", keyed(newCluster), registry.Allow, 0, nil, false},
	{"allow/cached/signed/cluster", keyed(newShardedCluster), registry.Allow, 0, nil, false},
	{"allow/cached/signed, and played again", keyed(newCluster), registry.Allow, 0, (*model).playAgain, false},
	{"replace/cached/signed, and played again", keyed(newCluster), registry.Replace, 0, (*model).playAgain, false},
	{"allow/cached/lives forged", newCluster, registry.Allow, 0, (*model).forgeLives, false},
	{"replace/cached/lives forged", newCluster, registry.Replace, 0, (*model).forgeLives, false},
	{"allow/cached/cluster", newShardedCluster, registry.Allow, 0, nil, false},
	{"allow/looked up/cluster", newShardedCluster, registry.Allow, -1, nil, false},
	{"replace/cached", newCluster, registry.Replace, 0, nil, false},
	{"replace/looked up", newCluster, registry.Replace, -1, nil, false},
	{"replace/cached/cluster", newShardedCluster, registry.Replace, 0, nil, false},
	{"allow/cached/unsubscribed for moments", newCluster, registry.Allow, 0, (*model).unsubscribeOne, false},
	{"replace/cached/unsubscribed for moments", newCluster, registry.Replace, 0, (*model).unsubscribeOne, false},
	{"allow/cached/publishes lost and doubled", newCluster, registry.Allow, 0, (*model).harmOnePublish, true},
	{"allow/cached/flushed", newOwnCluster, registry.Allow, 0, (*model).flush, false},
	{"allow/looked up/flushed", newOwnCluster, registry.Allow, -1, (*model).flush, false},
	{"replace/cached/flushed", newOwnCluster, registry.Replace, 0, (*model).flush, false},
}

// empties reports whether Redis loses its data.
func (v variant) empties() bool { return strings.HasSuffix(v.name, "/flushed") }

const (
	modelClients  = 8
	modelSteps    = 30 // of each client
	modelMessages = 6  // of each sender to a client in a step, at the most
	modelSessions = 3  // of a client at once
	stepsATrouble = 60 // of all clients
)

// Whatever clients do, the owner cache is never wrong.
func TestModelOfMovingClients(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			for _, seed := range v.seeds() {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { v.run(t, seed) })
			}
		})
	}
}

func (v variant) seeds() (seeds []uint64) {
	if *modelSeed != 0 {
		return []uint64{*modelSeed}
	}
	for range *modelSeeds {
		seeds = append(seeds, rand.Uint64())
	}
	return append([]uint64{1, 2}, seeds...)
}

func (v variant) run(t *testing.T, seed uint64) {
	m := newModel(t, v, seed)
	var senders, drivers, troubles sync.WaitGroup
	for _, cl := range m.clients {
		for _, s := range cl.senders {
			senders.Go(s.run)
		}
		drivers.Go(cl.run)
	}
	troubles.Go(m.runTroubles)
	drivers.Wait()
	close(m.steps)
	senders.Wait()
	troubles.Wait()
	m.awaitQuiet()
	m.sendLast()
	m.awaitQuiet()
	for _, n := range m.c.nodes {
		n.stop() // whatever comes late must have come by now
	}
	m.check()
	if m.trouble != nil && !m.empties() && m.harmed.Load() == 0 {
		t.Error("no trouble ever met anything")
	}
}

// model is a cluster and what is known about its clients from outside.
type model struct {
	variant
	c       *cluster
	ticks   atomic.Int64
	clients []*modelClient
	steps   chan struct{}

	// The troubles' goroutine alone.
	rng    *rand.Rand
	losses []loss
	harm   atomic.Int64          // what becomes of the next PUBLISH
	tapes  <-chan *redis.Message // what nodes published, if it is to be played again

	harmed atomic.Int32 // how often trouble met something
}

// keyed starts nodes that sign what they publish.
func keyed(start func(testing.TB, int, func(*Options)) *cluster) func(testing.TB, int, func(*Options)) *cluster {
	return func(t testing.TB, n int, change func(*Options)) *cluster {
		key := newKey()
		return start(t, n, func(o *Options) {
			change(o)
			o.ClusterKeys = []ClusterKey{key}
		})
	}
}

func newModel(t *testing.T, v variant, seed uint64) *model {
	m := &model{variant: v, rng: newRNG(seed, 0), steps: make(chan struct{}, modelClients*modelSteps)}
	m.c = v.start(t, 3+m.rng.IntN(2), func(o *Options) {
		o.Duplicates, o.OwnerCache, o.MessageTimeout = v.rule, v.entries, patience/2
		if v.harmful {
			o.intercept = m.harmful(t)
		}
	})
	until(t, "the registry is settled", func() bool {
		return !slices.ContainsFunc(m.c.nodes, func(n *testNode) bool { return !n.reg.AllSettled() })
	})
	if v.harmful {
		m.subscribeNowhere(t)
	}
	if strings.Contains(v.name, "played again") {
		m.record(t)
	}
	for i := range modelClients {
		m.clients = append(m.clients, m.newClient(fmt.Sprint("client", i), newRNG(seed, 1+uint64(i))))
	}
	return m
}

func newRNG(seed, part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }

// now is a time of the model: what comes later has a larger one.
func (m *model) now() int64 { return m.ticks.Add(1) }

// cut is a time by which messages are over or under way.
type cut struct {
	at       int64
	underWay map[string]bool
}

func (m *model) cut() *cut {
	c := &cut{at: m.now(), underWay: make(map[string]bool)}
	for _, n := range m.c.nodes {
		n.eachPending(func(p *pending) { c.underWay[string(p.Data)] = true })
	}
	return c
}

// comesAfter reports whether the sender's node was done with the message before.
func (c *cut) comesAfter(msg *modelMessage) bool {
	return c == nil || msg.returned < c.at && !c.underWay[msg.text]
}

// modelClient does what a client does, one step after another.
type modelClient struct {
	m       *model
	name    string
	rng     *rand.Rand
	senders []*modelSender
	all     []*modelSession
	here    []*modelSession
	present []span // when it was connected without a gap
}

// span is a time from one tick to another.
type span struct{ from, to int64 }

func (m *model) newClient(name string, rng *rand.Rand) *modelClient {
	cl := &modelClient{m: m, name: name, rng: rng}
	for i, n := range m.c.nodes {
		cl.senders = append(cl.senders, &modelSender{
			m: m, to: name, node: n, number: i, receipts: rng.IntN(4), orders: make(chan int, 2),
			window: make(chan struct{}, 1<<rng.IntN(5)),
		})
	}
	return cl
}

func (cl *modelClient) run() {
	for range modelSteps {
		for _, s := range cl.senders {
			s.orders <- cl.rng.IntN(modelMessages)
		}
		cl.step()
		cl.m.cacheAgain(cl.name)
		cl.m.steps <- struct{}{}
	}
	for _, s := range cl.senders {
		close(s.orders)
	}
}

// cacheAgain spares the model the time for which nothing is cached after a
// refusal.
func (m *model) cacheAgain(address string) {
	for _, n := range m.c.nodes {
		rt, unlock := n.lockRoute(address)
		if rt != nil {
			rt.noCacheBefore = time.Time{}
		}
		unlock()
	}
}

func (cl *modelClient) step() {
	if len(cl.here) == 0 {
		cl.join(1 + cl.rng.IntN(2))
		return
	}
	some := cl.here[cl.rng.IntN(len(cl.here))]
	switch cl.rng.IntN(9) {
	case 0, 1: // stay, so that owners are cached
	case 2:
		if len(cl.here) < modelSessions {
			cl.join(1)
		}
	case 3:
		if len(cl.here) < modelSessions {
			cl.join(2)
		}
	case 4, 5: // move, and leave late
		cl.join(1)
		cl.leave(some)()
	case 6: // move, leaving first
		cl.leave(some)()
		cl.join(1)
	case 7: // move, both at once
		var leaving sync.WaitGroup
		leaving.Go(cl.leave(some))
		cl.join(1)
		leaving.Wait()
	case 8:
		for len(cl.here) > 0 {
			cl.leave(cl.here[0])()
		}
	}
}

// join connects new sessions, all at once, to nodes by chance.
func (cl *modelClient) join(count int) {
	replaces := cl.m.rule == registry.Replace
	if replaces {
		for _, s := range cl.here {
			s.mayLeave()
		}
	}
	began := cl.m.now()
	var joining sync.WaitGroup
	var joined []*modelSession
	for range count {
		s := cl.newSession()
		joined = append(joined, s)
		joining.Go(s.join)
	}
	joining.Wait()
	if replaces {
		joined = cl.winners(joined)
	}
	if replaces && (len(joined) == 0 || slices.ContainsFunc(joined, (*modelSession).hadToRetry)) {
		cl.absent(began) // it may have replaced the older one in vain
	}
	cl.here = append(cl.here, joined...)
	if n := len(cl.present); len(cl.here) > 0 && (n == 0 || cl.present[n-1].to < math.MaxInt64) {
		cl.present = append(cl.present, span{cl.m.now(), math.MaxInt64})
	}
}

// winners returns the session that replaced all others, here too. The others, which
// came at the same time, are owed nothing.
func (cl *modelClient) winners(joined []*modelSession) (left []*modelSession) {
	cl.here = nil
	for _, s := range joined {
		if s.welcomed > 0 && !s.wasEvicted() {
			left = append(left, s)
			s.welcomed = cl.m.now()
			continue
		}
		s.welcomed = 0
	}
	if allLost := len(joined) > 1 && cl.m.empties(); len(left) != 1 && !(len(left) == 0 && allLost) {
		cl.m.c.t.Errorf("%s: %d of %d sessions are left that replaced the others, want 1", cl.name, len(left), len(joined))
	}
	return left
}

// leave notes that s begins to leave and returns what makes it leave.
func (cl *modelClient) leave(s *modelSession) func() {
	s.mayLeave()
	if i := slices.Index(cl.here, s); i >= 0 {
		if cl.here = slices.Delete(cl.here, i, i+1); len(cl.here) == 0 {
			cl.absent(cl.m.now())
		}
	}
	closesFirst := cl.rng.IntN(2) == 0
	return func() {
		if closesFirst {
			s.close()
		}
		s.node.Leave(cl.name, s)
	}
}

// absent ends the time for which the client was connected.
func (cl *modelClient) absent(at int64) {
	if n := len(cl.present); n > 0 {
		cl.present[n-1].to = min(cl.present[n-1].to, at)
	}
}

// modelSession is a session that keeps what it got.
type modelSession struct {
	client *modelClient
	node   *testNode

	// The client's goroutine, and one that joins.
	welcomed int64 // 0: never
	retried  bool
	leaving  *cut // nil: it stays

	mu      sync.Mutex
	got     []string
	closing bool
	evicted bool
}

func (cl *modelClient) newSession() *modelSession {
	s := &modelSession{client: cl, node: cl.m.c.node(cl.rng.IntN(len(cl.m.c.nodes)))}
	cl.all = append(cl.all, s)
	return s
}

// join waits until the session is welcomed, or has lost to one that came at the
// same time.
func (s *modelSession) join() {
	m := s.client.m
	for deadline := time.Now().Add(patience); ; {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := s.node.Join(ctx, s.client.name, s)
		cancel()
		switch {
		case err == nil:
			s.welcomed = m.now()
			return
		case m.rule == registry.Replace && errors.Is(err, ErrDuplicate):
			return
		case m.trouble == nil && !stoodStill(err) || time.Now().After(deadline):
			m.c.t.Errorf("%s can't join on %s: %v", s.client.name, s.node.opts.NodeID, err)
			return
		}
		s.retried = true
		time.Sleep(2 * time.Millisecond) // nothing tells when a machine that stood still goes on
	}
}

func (s *modelSession) hadToRetry() bool { return s.retried }

// mayLeave ends the time for which the session must get what is sent.
func (s *modelSession) mayLeave() {
	if s.leaving == nil {
		s.leaving = s.client.m.cut()
	}
}

func (s *modelSession) Deliver(m *Message) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.evicted {
		return Offline
	}
	s.got = append(s.got, string(m.Data))
	return Delivered
}

func (s *modelSession) Evict(string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = true
}

func (s *modelSession) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
}

func (s *modelSession) wasEvicted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evicted
}

// modelSender sends numbered messages from one node to one client. It waits only
// when its window is full.
type modelSender struct {
	m        *model
	to       string
	node     *testNode
	number   int
	receipts int // of four messages so many ask for no receipt
	orders   chan int
	window   chan struct{}
	sent     []*modelMessage
}

// modelMessage is a message that was sent, and what its sender was told.
type modelMessage struct {
	text           string
	receipt        bool
	sent, returned int64 // before and after Send

	mu       sync.Mutex
	told     int64
	outcomes []Outcome
}

func (s *modelSender) run() {
	for n := range s.orders {
		for range n {
			s.send(len(s.sent)%4 >= s.receipts)
		}
	}
}

func (s *modelSender) send(receipt bool) *modelMessage {
	msg := &modelMessage{text: fmt.Sprintf("%s %d %d", s.to, s.number, len(s.sent)), receipt: receipt}
	s.sent = append(s.sent, msg)
	var done func(MessageID, Outcome)
	if receipt {
		s.awaitRoom()
		done = func(_ MessageID, o Outcome) { s.told(msg, o) }
	}
	msg.sent = s.m.now()
	s.node.Send(Message{From: "sender", To: s.to, Data: []byte(msg.text)}, done)
	msg.returned = s.m.now()
	return msg
}

func (s *modelSender) awaitRoom() {
	select {
	case s.window <- struct{}{}:
	case <-time.After(patience):
		s.m.c.t.Errorf("sender %d to %s: some message has no outcome", s.number, s.to)
	}
}

func (s *modelSender) told(msg *modelMessage, o Outcome) {
	msg.mu.Lock()
	msg.told = s.m.now()
	msg.outcomes = append(msg.outcomes, o)
	msg.mu.Unlock()
	select {
	case <-s.window:
	default: // a second outcome; check says so
	}
}

// awaitQuiet returns when no node has anything more to do with any message.
func (m *model) awaitQuiet() {
	m.c.t.Helper()
	until(m.c.t, "every message is over", func() bool { return len(m.cut().underWay) == 0 })
}

// sendLast sends from every node to every client, when nobody moves any more and
// nothing is wrong.
func (m *model) sendLast() {
	for _, cl := range m.clients {
		for _, s := range cl.senders {
			s.send(true)
		}
	}
}

// runTroubles brings trouble now and then while the clients go on.
func (m *model) runTroubles() {
	n := 0
	for range m.steps {
		if n++; n%stepsATrouble == 0 && m.trouble != nil {
			m.trouble(m)
		}
	}
}

// unsubscribeOne has a node miss what is published until it has subscribed again.
func (m *model) unsubscribeOne() {
	m.c.node(m.rng.IntN(len(m.c.nodes))).in.sub.Reset()
	m.harmed.Add(1)
}

// harmOnePublish has what some node publishes next arrive twice, or get lost although
// Redis counts a receiver, as when that one's connection is just breaking.
func (m *model) harmOnePublish() { m.harm.Store(doubled + m.rng.Int64N(2)) }

const (
	harmless int64 = iota
	doubled
	lost
)

// forgeLives has each node be told by somebody else that its peers have begun new lives of
// their links, which are newer than any that they can begin by the clock.
func (m *model) forgeLives() {
	for _, from := range m.c.nodes {
		for _, to := range m.c.nodes {
			forged := link.AppendHeader(nil, &link.Header{From: from.opts.NodeID, Life: 1<<63 - m.rng.Uint64N(1<<40), First: 1, Base: 1})
			m.harmed.Add(int32(m.c.client.Publish(context.Background(), to.keys.Channel(to.opts.NodeID), forged).Val()))
		}
	}
}

// record keeps what nodes publish.
func (m *model) record(t *testing.T) {
	sub := m.c.client.PSubscribe(t.Context(), m.c.prefix+":ch:*")
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.tapes = sub.Channel(redis.WithChannelSize(1 << 14))
	t.Cleanup(func() {
		sub.Close()
		for range m.tapes { // its goroutine may wait for room
		}
	})
}

// playAgain publishes once more what was published since the last time, in any order.
func (m *model) playAgain() {
	var tapes []*redis.Message
	for len(m.tapes) > 0 {
		tapes = append(tapes, <-m.tapes)
	}
	m.rng.Shuffle(len(tapes), func(i, j int) { tapes[i], tapes[j] = tapes[j], tapes[i] })
	for _, tape := range tapes {
		m.harmed.Add(int32(m.c.client.Publish(context.Background(), tape.Channel, tape.Payload).Val()))
	}
}

// harmful returns what harms the connections that publish.
func (m *model) harmful(t *testing.T) func(bus.Conn) bus.Conn {
	on := new(atomic.Bool)
	on.Store(true)
	double := twice(t)
	fault := func(next func([]byte) (int, error), b []byte) (int, error) {
		switch m.harm.Swap(harmless) {
		case doubled:
			m.harmed.Add(1)
			return double(next, b)
		case lost:
			m.harmed.Add(1)
			return next(nodeChannel.ReplaceAll(b, []byte(":ch:xx")))
		}
		return next(b)
	}
	return func(c bus.Conn) bus.Conn { return &faultyConn{c, on, new(atomic.Int32), fault} }
}

// nodeChannel is where a PUBLISH names a node.
var nodeChannel = regexp.MustCompile(`:ch:n\d`)

// subscribeNowhere makes Redis count a receiver of what is lost.
func (m *model) subscribeNowhere(t *testing.T) {
	nobody := m.c.client.Subscribe(t.Context(), m.c.node(0).keys.Channel("xx"))
	t.Cleanup(func() { nobody.Close() })
	if _, err := nobody.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// loss is a time for which Redis did not have all leases.
type loss struct {
	begun *cut
	until int64
}

// flush empties Redis and waits until every node has noticed and verified.
func (m *model) flush() {
	epochs := make([]float64, len(m.c.nodes))
	for i, n := range m.c.nodes {
		epochs[i] = testutil.ToFloat64(n.m.Registry.EpochChanges)
	}
	begun := m.cut()
	m.c.client.FlushAll(context.Background())
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		settled := true
		for i, n := range m.c.nodes {
			settled = settled && testutil.ToFloat64(n.m.Registry.EpochChanges) > epochs[i] && n.reg.AllSettled()
		}
		if settled {
			break
		}
		if time.Now().After(deadline) {
			m.c.t.Error("the registry never settled after it was flushed")
			break
		}
	}
	m.losses = append(m.losses, loss{begun, m.now()})
}

func (m *model) duringLoss(msg *modelMessage) bool {
	return slices.ContainsFunc(m.losses, func(l loss) bool { return msg.sent < l.until && !l.begun.comesAfter(msg) })
}

// check compares what happened with what must be.
func (m *model) check() {
	counts := make(map[string]int)
	for _, cl := range m.clients {
		arrived := make(map[*modelSession]map[string]bool)
		for _, s := range cl.all {
			arrived[s] = s.check()
		}
		for _, sender := range cl.senders {
			for _, msg := range sender.sent {
				counts[cl.checkMessage(msg, arrived)]++
			}
		}
	}
	m.checkCache()
	m.c.t.Logf("%d nodes; %v", len(m.c.nodes), counts)
}

// check looks at what a session got, and returns it.
func (s *modelSession) check() map[string]bool {
	t := s.client.m.c.t
	arrived := make(map[string]bool)
	last := make(map[int]int) // by sender
	for _, text := range s.got {
		var to string
		var sender, number int
		if _, err := fmt.Sscan(text, &to, &sender, &number); err != nil || to != s.client.name {
			t.Errorf("%v got %q, which was not for it", s, text)
			continue
		}
		if arrived[text] {
			t.Errorf("%v got %q twice", s, text)
		}
		if before, ok := last[sender]; ok && number < before {
			t.Errorf("%v got %q after number %d", s, text, before)
		}
		arrived[text] = true
		last[sender] = number
	}
	if s.evicted && (s.client.m.rule != registry.Replace || s.leaving == nil && s.welcomed > 0) {
		t.Errorf("%v was evicted, and nobody had replaced it", s)
	}
	return arrived
}

// String names the session in a failure.
func (s *modelSession) String() string {
	left := "stays"
	if s.leaving != nil {
		left = fmt.Sprint("leaves at ", s.leaving.at)
	}
	return fmt.Sprintf("session %d of %s on %s (welcomed at %d, %s)",
		slices.Index(s.client.all, s), s.client.name, s.node.opts.NodeID, s.welcomed, left)
}

// owes reports whether the session must get the message.
func (s *modelSession) owes(msg *modelMessage) bool {
	return s.welcomed > 0 && s.welcomed < msg.sent && s.leaving.comesAfter(msg)
}

// checkMessage looks at what became of a message, and returns it in a word.
func (cl *modelClient) checkMessage(msg *modelMessage, arrived map[*modelSession]map[string]bool) string {
	t := cl.m.c.t
	word := "no receipt"
	if msg.receipt {
		if len(msg.outcomes) != 1 {
			t.Errorf("%v has the outcomes %v, want one", msg, msg.outcomes)
			return "none"
		}
		word = msg.outcomes[0].String()
	}
	if word == "offline" && slices.ContainsFunc(cl.present, func(p span) bool { return p.from < msg.sent && msg.told < p.to }) {
		t.Errorf("%v is offline, but its receiver was there: %v", msg, cl.present)
	}
	somewhere := false
	for _, s := range cl.all {
		somewhere = somewhere || arrived[s][msg.text]
		if !s.owes(msg) || cl.m.duringLoss(msg) {
			continue
		}
		if msg.receipt && word != "delivered" {
			t.Errorf("%v is not delivered, but %v was there", msg, s)
		}
		if !arrived[s][msg.text] {
			t.Errorf("%v never arrived at %v", msg, s)
		}
	}
	if word == "delivered" && !somewhere {
		t.Errorf("%v arrived nowhere", msg)
	}
	return word
}

// String names the message in a failure.
func (msg *modelMessage) String() string {
	return fmt.Sprintf("message %q (sent at %d, told %v at %d)", msg.text, msg.sent, msg.outcomes, msg.told)
}

// checkCache makes sure that the cache was used, or not.
func (m *model) checkCache() {
	hits, stale := 0.0, 0.0
	for _, n := range m.c.nodes {
		hits += testutil.ToFloat64(n.m.Router.OwnerCacheHits)
		stale += testutil.ToFloat64(n.stale[staleCached])
	}
	m.c.t.Logf("%v messages were sent by a cached answer, %v of them refused", hits, stale)
	if (hits > 0) != (m.entries >= 0) {
		m.c.t.Errorf("%v messages were sent by a cached answer, with room for %d entries", hits, m.entries)
	}
	if m.entries >= 0 && !strings.Contains(m.name, "two at a time") && stale == 0 {
		m.c.t.Error("no cached answer was ever refused: the model is too tame")
	}
}
