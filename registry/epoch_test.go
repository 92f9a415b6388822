package registry

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestFirstNodeSettlesAtItsFirstBeat(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		if !a.AllSettled() {
			t.Error("not settled after the first beat")
		}
		a.wantSettled("alice", true)
		if value(t, a.metrics.Settled) != 1 || value(t, a.metrics.EpochChanges) != 0 {
			t.Error("metrics do not say settled and unchanged")
		}
	})
}

func TestNodesThatStartTogetherSettleOnceAllHaveBeaten(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b, c := quietNode(t, s, "a", Options{}), quietNode(t, s, "b", Options{}), quietNode(t, s, "c", Options{})
		a.beat()
		b.beat()
		a.wantSettled("alice", false)
		c.beat()
		for _, n := range []*testNode{a, b, c} {
			n.eventuallySettled("alice")
			eventually(t, n.AllSettled, func() string { return n.opts.NodeID + " is not settled" })
		}
	})
}

func TestFlushUnsettlesUntilEveryNodeHasVerified(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		opts := Options{Heartbeat: calm}
		a, b := startNode(t, s, "a", opts), startNode(t, s, "b", opts)
		a.eventuallySettled("alice")
		atB := b.claim("alice")
		s.flush(t)

		a.wantOwners("alice")
		a.wantSettled("alice", false)
		if a.AllSettled() {
			t.Error("settled after a flush")
		}
		receive(t, a.lost, "a is told of the loss")
		a.wantClaimWaits("bob")

		b.keepBeating() // b sees the new epoch
		receive(t, b.restored, "b claims alice again")
		a.eventuallySettled("alice")
		a.wantOwners("alice", b.owner(atB))
		a.eventuallyOwners("bob")
		if value(t, b.metrics.EpochChanges) == 0 {
			t.Error("no epoch change counted")
		}
	})
}

func TestClaimDuringRecoveryLearnsEveryOwner(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		opts := Options{Heartbeat: calm}
		a, b := startNode(t, s, "a", opts), startNode(t, s, "b", opts)
		a.eventuallySettled("alice")
		atB := b.claim("alice")
		b.keepBeating()
		s.flush(t)
		p := a.begin(time.Time{}, "alice")
		a.eventuallySettled("alice")
		got := p.answer(t)
		must(t, got.err)
		if len(got.others) != 1 || got.others[0] != b.owner(atB) {
			t.Fatalf("others: %v, want b's", got.others)
		}
	})
}

func TestRejectHoldsThroughAFlush(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		opts := Options{Heartbeat: calm}
		a, b := startNode(t, s, "a", opts).under(Reject), startNode(t, s, "b", opts).under(Reject)
		a.eventuallySettled("alice")
		atB := b.claim("alice")
		a.keepBeating()
		b.keepBeating()
		s.flush(t)
		p := a.begin(time.Time{}, "alice")
		a.eventuallySettled("alice")
		wantError(t, p.answer(t).err, ErrHeld)
		a.eventuallyOwners("alice", b.owner(atB))
		if len(b.evicted) > 0 {
			t.Error("the earlier session lost its lease")
		}
	})
}

func TestManyLeasesSurviveAFlush(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: calm})
	leases := claimMany(a, 3000)
	single(s).flush(t)
	a.beat()
	a.eventuallySettled("alice")
	for _, l := range leases {
		a.wantOwners(l.Address(), a.owner(l))
	}
}

func TestRestartedRedisSettlesOnceNodesHadTimeToReturn(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: 700 * time.Millisecond})
	a.keepBeating()
	l := a.claim("alice")
	s.Restart()
	receive(t, a.lost, "the restart is noticed")
	a.eventuallySettled("alice")
	a.wantOwners("alice", a.owner(l))
	a.wantTTL("alice")
	up, known, err := a.uptime(t.Context(), "0")
	must(t, err)
	if !known || up < a.timing.NodeTTL() {
		t.Errorf("settled after %v", up)
	}
}

// A new node may ask a Redis that was restarted empty a moment ago, before its peers have
// subscribed again.
func TestUptimeIsNotOverstated(t *testing.T) {
	for info, want := range map[string]time.Duration{
		"server_time_usec:1795837175094287\r\nuptime_in_seconds:0\r\n": 0,
		"server_time_usec:1795837175094287\r\nuptime_in_seconds:1\r\n": 94287 * time.Microsecond,
		"server_time_usec:1795837175900000\r\nuptime_in_seconds:1\r\n": 900 * time.Millisecond,
		"server_time_usec:1795837175094287\r\nuptime_in_seconds:2\r\n": time.Second + 94287*time.Microsecond,
		"uptime_in_seconds:1\r\n":                                      0,
		"uptime_in_seconds:3600\r\n":                                   3599 * time.Second,
	} {
		if got, known := leastUptime("# Server\r\nredis_version:7.0.15\r\n" + info); !known || got != want {
			t.Errorf("%q: up for %v, %v; want %v", info, got, known, want)
		}
	}
	if _, known := leastUptime("# Server\r\nredis_version:7.0.15\r\n"); known {
		t.Error("an uptime is known that is not told")
	}
}

func TestSubscriberWithoutALeaseHoldsNobodyUpForever(t *testing.T) {
	t.Parallel()
	s := single(redistest.Start(t))
	quietNode(t, s, "mute", Options{})
	a := startNode(t, s, "a", Options{Heartbeat: 100 * time.Millisecond})
	a.keepBeating()
	a.eventuallySettled("alice")
}

// endEpoch has a single Redis believe that nobody has called for long.
func (n *testNode) endEpoch() {
	n.t.Helper()
	ago := time.Now().Add(-2 * n.timing.silence()).UnixMilli()
	must(n.t, n.rdb.HSet(n.t.Context(), n.keys.Epoch("0"), "at", ago).Err())
}

func TestLongSilenceBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	s := single(redistest.Start(t))
	a := startNode(t, s, "a", Options{Heartbeat: calm})
	a.claim("alice")
	a.endEpoch()
	a.beat()
	receive(t, a.lost, "the silence is noticed")
	a.eventuallySettled("alice")
}

func TestClusterMasterThatIsFlushedAloneIsNoticed(t *testing.T) {
	t.Parallel()
	c := redistest.StartOwnCluster(t)
	a := startNode(t, sharded(c), "a", Options{Heartbeat: calm})
	leases := claimMany(a, 100)
	must(t, c.Servers[1].Client(t).FlushAll(t.Context()).Err())
	a.keepBeating() // or the epochs of masters that nobody asks meanwhile end
	receive(t, a.lost, "the flush is noticed")
	for _, l := range leases {
		a.eventuallySettled(l.Address())
		a.wantOwners(l.Address(), a.owner(l))
	}
}

func TestThoseWhoAskAtOnceShareAnAnswer(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{})
	before := s.CommandCount(t, "evalsha")["evalsha"]

	barrier := a.barrierOf("0")
	barrier.turn <- struct{}{}
	early := barrier.join()
	const callers = 200
	var begun, ended sync.WaitGroup
	begun.Add(callers)
	for range callers {
		ended.Go(func() {
			begun.Done()
			a.wantSettled("alice", true)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.ConfirmAbsent(ctx, "alice"); err == nil {
		t.Error("settled for who does not wait")
	}
	begun.Wait()
	early.err = context.Canceled // whoever asked gave up; the others ask again
	barrier.begin(early)
	close(early.done)
	<-barrier.turn
	ended.Wait()
	if calls := s.CommandCount(t, "evalsha")["evalsha"] - before; calls > callers/2 {
		t.Errorf("%d callers asked Redis %d times", callers, calls)
	}
}

func TestClusterTagsNameEachMaster(t *testing.T) {
	t.Parallel()
	a := startNode(t, sharded(redistest.StartCluster(t)), "a", Options{})
	tags, err := a.masters.find(t.Context())
	must(t, err)
	if len(tags) != 3 {
		t.Fatalf("tags: %v, want three", tags)
	}
	a.masters.tags = nil // as for a master that joined since the last beat
	for _, tag := range tags {
		got, err := a.masters.tag(t.Context(), a.keys.Epoch(tag))
		must(t, err)
		if got != tag {
			t.Errorf("tag of epoch %s is %s", tag, got)
		}
	}
	a.noteEpoch("999", "an epoch of a master that left")
	if a.AllSettled() {
		t.Error("settled although an epoch is open")
	}
	a.beat()
	a.eventuallySettled("alice")
	eventually(t, a.AllSettled, func() string { return "the master that left still counts" })
}

// onSentinel returns the store that a Sentinel names.
func onSentinel(t *testing.T) (*redistest.Sentinel, store) {
	t.Helper()
	s := redistest.StartSentinel(t)
	client, err := redisconn.Connect(patient(s.URL()))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return s, store{s.Prefix, func(testing.TB) redis.UniversalClient { return client }}
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	s, st := onSentinel(t)
	a := startNode(t, st, "a", Options{Heartbeat: calm})
	l := a.claim("alice")
	a.keepBeating()
	s.Failover()
	receive(t, a.lost, "the failover is noticed")
	a.eventuallySettled("alice")
	a.wantOwners("alice", a.owner(l))
}

// wouldSettle reports whether the master's epoch is settled once the master is up for long.
func (n *testNode) wouldSettle(master string) bool {
	n.t.Helper()
	n.mu.Lock()
	e := *n.epochs.of[master]
	n.mu.Unlock()
	e.peersReturned = true
	settled, err := n.allVerified(n.t.Context(), master, &e)
	must(n.t, err)
	return settled
}

// While a node is about to subscribe again, a flush takes all that tells of it. The others
// remember it for as long as its lease would have lived.
func TestFlushForgetsNoNodeThatIsSubscribingAgain(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		opts := Options{Heartbeat: calm}
		a, b := startNode(t, s, "a", opts), startNode(t, s, "b", opts)
		a.eventuallySettled("alice")
		atB := b.claim("alice")
		master, err := a.masters.tag(t.Context(), a.keys.Address("alice"))
		must(t, err)
		a.beat() // it sees b listed
		must(t, b.channel.Close())
		eventually(t, func() bool {
			ids, err := a.subscribed(t.Context())
			return err == nil && len(ids) == 1
		}, func() string { return "b is still subscribed" })
		s.flush(t)
		a.beat()
		receive(t, a.lost, "the flush is noticed")
		eventually(t, func() bool { return a.vouched() != "" }, func() string { return "a has not verified" })
		if a.wouldSettle(master) {
			t.Error("settled without b")
		}
		b.listen()
		a.keepBeating()
		b.keepBeating()
		a.eventuallySettled("alice")
		a.wantOwners("alice", b.owner(atB))
	})
}

// wantUnreceived says whether what PUBLISH has counted for nobody since then had not
// been heard by b.
func (n *testNode) wantUnreceived(want bool, since time.Time) {
	n.t.Helper()
	if got, err := n.ConfirmUnreceived(n.t.Context(), "b", since); got != want || err != nil {
		n.t.Errorf("counts %v, %v, want %v", got, err, want)
	}
}

// Who hears by way of a master that has become a replica finds out within a node lease's
// life; until then its death does not prove that it heard nothing.
func TestPublishCountsForSureOnlyLongAfterAFailover(t *testing.T) {
	t.Parallel()
	s, st := onSentinel(t)
	opts := Options{Heartbeat: calm}
	a, b := startNode(t, st, "a", opts), startNode(t, st, "b", opts)
	a.eventuallySettled("alice")
	a.eventuallyAllSettled()
	before := time.Now()
	a.wantUnreceived(false, before) // it does not know what was before
	later := func() time.Time { return time.Now().Add(a.timing.NodeTTL()) }
	a.wantUnreceived(true, later())

	s.Failover()
	a.wantUnreceived(false, before)
	a.keepBeating()
	b.keepBeating()
	a.eventuallyAllSettled()
	a.wantUnreceived(false, before)
	c := startNode(t, st, "c", opts)
	c.keepBeating()
	c.eventuallyAllSettled() // though it came later
	c.wantUnreceived(false, before)
	s.KillReplica()
	eventually(t, func() bool {
		text, _, err := info(t.Context(), a.rdb, "replication")
		return err == nil && strings.Contains(text, "connected_slaves:0\r")
	}, func() string { return "there still is a replica" })
	c.wantUnreceived(false, before)
	a.wantUnreceived(true, later())
}

// Nobody hears but by way of a master that never was a replica, once all have verified.
func TestPublishCountsAfterAFlush(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		opts := Options{Heartbeat: calm}
		a, b := startNode(t, s, "a", opts), startNode(t, s, "b", opts)
		a.eventuallySettled("alice")
		before := time.Now()
		s.flush(t)
		a.wantUnreceived(false, before)
		a.keepBeating()
		b.keepBeating()
		a.eventuallyAllSettled()
		a.wantUnreceived(true, before)
	})
}
