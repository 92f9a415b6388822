package router

import (
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

const (
	loadClients = 8
	loadWindow  = 8 // messages under way to each
)

// load sends numbered messages from n0 to clients of n1, and back, until it is ended.
type load struct {
	c       *cluster
	streams []*stream
	stop    chan struct{}
	ended   sync.WaitGroup
}

// stream is the messages to one client.
type stream struct {
	from   *testNode
	to     *testSession
	window chan struct{}

	mu       sync.Mutex
	outcomes []Outcome // by number
	answers  []int
	got      int // messages that were delivered
}

func startLoad(c *cluster) *load {
	c.t.Helper()
	l := &load{c: c, stop: make(chan struct{})}
	for i := range loadClients {
		from, at := c.node(0), c.node(1)
		if i%2 == 1 {
			from, at = at, from
		}
		s := &stream{from: from, to: at.connect(fmt.Sprint("client", i)), window: make(chan struct{}, loadWindow)}
		l.streams = append(l.streams, s)
		l.ended.Go(func() { s.run(l.stop) })
	}
	c.t.Cleanup(func() { l.end() })
	l.flows()
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.ended.Wait()
}

func (s *stream) run(stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case s.window <- struct{}{}:
		}
		s.mu.Lock()
		s.outcomes, s.answers = append(s.outcomes, 0), append(s.answers, 0)
		s.mu.Unlock()
		s.from.Send(Message{From: "load", To: s.to.client, Data: fmt.Append(nil, n)}, func(_ MessageID, o Outcome) {
			s.mu.Lock()
			s.outcomes[n] = o
			s.answers[n]++
			if o == Delivered {
				s.got++
			}
			s.mu.Unlock()
			<-s.window
		})
	}
}

// flows waits until each client got some more messages.
func (l *load) flows() {
	l.c.t.Helper()
	for _, s := range l.streams {
		s.mu.Lock()
		before := s.got
		s.mu.Unlock()
		until(l.c.t, "messages flow to "+s.to.client, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.got >= before+20
		})
	}
}

// wantNothingLost ends the load. Each message has one outcome, delivered or timeout;
// what is called delivered has arrived; nothing arrived twice or out of order.
func (l *load) wantNothingLost() {
	t := l.c.t
	t.Helper()
	l.end()
	sent, timeouts, wrong := 0, 0, make(map[Outcome]int)
	for _, s := range l.streams {
		for range loadWindow {
			s.window <- struct{}{} // the last outcomes
		}
		s.mu.Lock()
		arrived := make(map[int]bool)
		last := -1
		s.to.mu.Lock()
		for _, text := range s.to.got {
			var n int
			if _, err := fmt.Sscan(text, &n); err != nil {
				continue
			}
			if n <= last {
				t.Errorf("%s got %d after %d", s.to.client, n, last)
			}
			arrived[n], last = true, n
		}
		evicted := s.to.evicted
		s.to.mu.Unlock()
		for n, o := range s.outcomes {
			switch {
			case s.answers[n] != 1:
				t.Errorf("message %d to %s has %d outcomes", n, s.to.client, s.answers[n])
			case o == Delivered && !arrived[n]:
				t.Errorf("message %d to %s is lost", n, s.to.client)
			case o == Timeout:
				timeouts++
			case o != Delivered:
				wrong[o]++
			}
		}
		sent += len(s.outcomes)
		s.mu.Unlock()
		if evicted != nil {
			t.Errorf("%s was evicted: %v", s.to.client, evicted)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("outcomes %v, want none of them", wrong)
	}
	t.Logf("%d messages, %d of them timeout", sent, timeouts)
}

// wantLeases waits until Redis knows each client's node.
func (l *load) wantLeases() {
	l.c.t.Helper()
	for _, s := range l.streams {
		until(l.c.t, s.to.client+" is owned", func() bool {
			owners, err := l.c.node(0).reg.Lookup(l.c.t.Context(), s.to.client)
			return err == nil && len(owners) == 1 && owners[0].NodeID == s.to.node.opts.NodeID
		})
	}
}

// recovers waits until all is well, sees messages flow, and ends the load.
func (l *load) recovers() {
	l.c.t.Helper()
	for _, n := range l.c.nodes {
		n.heals()
	}
	l.flows()
	l.wantLeases()
	l.wantNothingLost()
}

func onSentinel(t *testing.T, s *redistest.Sentinel) *cluster {
	t.Helper()
	return clusterOn(t, shortHeartbeat, nil, s.Prefix, func() redis.UniversalClient {
		client, err := redisconn.Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}, 2, nil)
}

func TestSentinelFailoverUnderLoad(t *testing.T) {
	s := redistest.StartSentinel(t)
	l := startLoad(onSentinel(t, s))
	for range 2 { // there and back
		s.Failover()
		l.flows()
	}
	l.recovers()
}

func onOwnRedisCluster(t *testing.T) (*redistest.Cluster, *cluster) {
	t.Helper()
	rc := redistest.StartOwnCluster(t)
	return rc, clusterOn(t, shortHeartbeat, nil, rc.Prefix, func() redis.UniversalClient { return rc.Client(t) }, 2, nil)
}

func TestClusterFailoverUnderLoad(t *testing.T) {
	rc, c := onOwnRedisCluster(t)
	master, slot := rc.MasterOf(c.node(1).keys.Channel("n1"))
	rc.AddReplica(master)
	l := startLoad(c)
	rc.Failover(slot)
	l.recovers()
}

func TestKilledClusterMasterUnderLoad(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // go-redis tries to dial for a second longer
		until(t, "nobody dials any more", func() bool { return goleak.Find(before) == nil })
	})
	rc, c := onOwnRedisCluster(t)
	master, slot := rc.MasterOf(c.node(1).keys.Channel("n1"))
	rc.AddReplica(master)
	l := startLoad(c)
	rc.KillMaster(slot)
	l.recovers()
}

// The slot of a node's private channel, and those of clients, move while messages fly.
func TestSlotMigrationUnderLoad(t *testing.T) {
	rc, c := onOwnRedisCluster(t)
	l := startLoad(c)
	for _, key := range []string{c.node(1).keys.Channel("n1"), c.node(0).keys.Address("client0"), c.node(0).keys.Node("n0")} {
		from, slot := rc.MasterOf(key)
		to := rc.Servers[0]
		if to == from {
			to = rc.Servers[1]
		}
		rc.MigrateSlot(slot, to, func() {
			if c.node(0).connect("late "+key) == nil {
				t.Error("nobody joins during a migration")
			}
			l.flows()
		})
		l.flows()
	}
	l.recovers()
}

// After a failover that this node has not noticed yet, PUBLISH counts nobody although
// the peer may have heard: if the peer dies, nobody knows whether it had the message.
func TestDeathAfterAnUnnoticedFailoverProvesNothing(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.MessageTimeout = 3 * patience })
	c.node(1).connect("bob")
	c.node(0).wantOutcome("bob", "1", Delivered)
	until(t, "the registry is settled", c.node(0).reg.AllSettled)
	c.node(1).die()
	if err := c.client.HSet(t.Context(), c.node(0).keys.Epoch("0"), "replid", "of the former master").Err(); err != nil {
		t.Fatal(err)
	}
	c.node(0).wantOutcome("bob", "2", Timeout)
}
