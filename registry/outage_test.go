package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/alicebob/miniredis/v2"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestLeasesReturnAfterRedisWasAwayLongerThanTheirTTL(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: 50 * time.Millisecond}) // leases live 2.25 s
	a.keepBeating()
	leases := claimMany(a, 200)
	s.Pause()
	time.Sleep(a.timing.LeaseTTL() + time.Second) // the outage itself
	s.Resume()
	back := time.Now()
	receive(t, a.lost, "the outage is noticed")
	a.eventuallySettled("alice")
	for _, l := range leases {
		owners, err := a.Lookup(t.Context(), l.Address())
		must(t, err)
		if slices.Equal(owners, []Owner{a.owner(l)}) {
			continue
		}
		if time.Since(back) < a.timing.RefreshEvery() {
			t.Fatalf("owners of %s: %v, want a", l.Address(), owners)
		}
		a.eventuallyOwners(l.Address(), a.owner(l)) // on a slow machine it may have ended once more
	}
	if len(a.evicted) > 0 {
		t.Errorf("%d leases taken", len(a.evicted))
	}
}

func TestClaimWhoseAnswerNeverCameLeavesNoEntry(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := hastyNode(t, single(s), "a")
	s.Pause()
	addresses := []string{"alice", "bob", "carol", "dave"}
	for _, address := range addresses { // the batcher gives up a claim after half a second
		if _, err := a.claimFor(50*time.Millisecond, new(Lease), address); err == nil {
			t.Error("claimed without Redis")
		}
	}
	eventually(t, func() bool { return value(t, a.metrics.OperationErrors.WithLabelValues("claim")) > 0 },
		func() string { return "the claim does not time out" })
	s.Resume()
	for _, address := range addresses {
		a.eventuallyOwners(address)
	}
	a.endEpoch()
	a.beat()
	receive(t, a.lost, "an epoch begins")
	a.eventuallySettled("erin")
	a.claim("erin")
	for _, address := range addresses {
		a.wantOwners(address)
	}
}

func TestKilledRedisGivesErrorsAndLosesNoLease(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: 700 * time.Millisecond})
	a.keepBeating()
	alice, bob := a.claim("alice"), a.claim("bob")
	s.Kill()
	if _, err := a.claimFor(5*time.Second, new(Lease), "carol"); err == nil {
		t.Error("claimed without Redis")
	}
	if _, err := a.ConfirmAbsent(t.Context(), "alice"); err == nil {
		t.Error("settled without Redis")
	}
	if _, err := a.Lookup(t.Context(), "alice"); err == nil {
		t.Error("looked up without Redis")
	}
	if err := a.Prune(t.Context(), "alice", Owner{"x", "y"}); err == nil {
		t.Error("pruned without Redis")
	}
	if _, err := a.Nodes(t.Context()); err == nil {
		t.Error("listed nodes without Redis")
	}
	if _, _, err := a.Node(t.Context(), "a"); err == nil {
		t.Error("read a node without Redis")
	}
	if err := a.RemoveNode(t.Context(), "x"); err == nil {
		t.Error("removed a node lease without Redis")
	}
	a.Release(bob)
	eventually(t, func() bool { return value(t, a.metrics.OperationErrors.WithLabelValues("release")) > 0 },
		func() string { return "the release does not fail" })
	s.Restart()
	a.eventuallySettled("alice")
	a.wantOwners("alice", a.owner(alice))
	a.eventuallyOwners("bob")
}

func TestWritesThatRedisRefusesAreErrors(t *testing.T) {
	t.Parallel()
	breaks := map[string]func(*redis.Client) error{
		"out of memory": func(c *redis.Client) error { return c.ConfigSet(t.Context(), "maxmemory", "1").Err() },
		"read only": func(c *redis.Client) error {
			return c.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err()
		},
	}
	mends := func(c *redis.Client) error {
		_ = c.ConfigSet(t.Context(), "maxmemory", "0").Err()
		return c.Do(t.Context(), "REPLICAOF", "NO", "ONE").Err()
	}
	for name, breakIt := range breaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.StartOwn(t)
			s.AwaitUptime()
			a := startNode(t, single(s), "a", Options{Heartbeat: calm})
			l := a.claim("alice")
			must(t, breakIt(s.Client(t)))
			if _, err := a.claimFor(testTime, new(Lease), "bob"); err == nil || strings.Contains(err.Error(), "deadline") {
				t.Errorf("claim: %v, want Redis' refusal", err)
			}
			if err := a.Beat(t.Context(), NodeInfo{}); err == nil {
				t.Error("beat succeeds")
			}
			must(t, mends(s.Client(t)))
			a.keepBeating()
			a.eventuallySettled("alice")
			a.wantOwners("alice", a.owner(l))
		})
	}
}

func TestReplicaIsNoRegistry(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	a := startNode(t, single(s), "a", Options{})
	must(t, s.Client(t).Do(t.Context(), "REPLICAOF", "127.0.0.1", "1").Err())
	if settled, err := a.ConfirmAbsent(t.Context(), "alice"); settled || err == nil {
		t.Errorf("settled on a replica: %v, %v", settled, err)
	}
}

func TestReleasesBeyondTheBoundAreLeftToTheTTL(t *testing.T) {
	t.Parallel()
	r, err := New(Options{Redis: redistest.Start(t).Client(t), NodeID: "a"})
	must(t, err)
	for range maxWaitingReleases + 3 {
		r.batcher.release(release{address: "alice", number: 1})
	}
	if n := value(t, r.metrics.OperationErrors.WithLabelValues("release")); n != 3 {
		t.Errorf("%v releases dropped, want 3", n)
	}
	r.batcher.claims = make([]*claim, maxWaitingClaims)
	_, err = (&testNode{Registry: r, t: t, rule: Allow}).claimBy(time.Time{}, new(Lease), "alice")
	wantError(t, err, errBusy)
	if n := len(r.batcher.releases); n != maxWaitingReleases {
		t.Errorf("%d releases wait: a claim that was not sent is released", n)
	}
	r.batcher.claims = nil
	r.batcher.abort()
}

func TestEmbeddedRedisWillDo(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	s := store{"mini", func(t testing.TB) redis.UniversalClient {
		c, err := redisconn.Connect(patient("redis://" + m.Addr()))
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}}
	opts := Options{Heartbeat: calm}
	a, b := startNode(t, s, "a", opts).under(Replace), quietNode(t, s, "b", opts).under(Replace)
	b.beat()
	a.eventuallySettled("alice")
	atA, atB := a.claim("alice"), b.claim("alice")
	a.wantOwners("alice", a.owner(atA), b.owner(atB))
	a.Release(atA)
	a.eventuallyOwners("alice", b.owner(atB))
	m.FlushAll()
	a.keepBeating()
	b.keepBeating()
	b.eventuallySettled("alice")
	a.wantOwners("alice", b.owner(atB))
	b.Release(atB)
	b.eventuallyOwners("alice")
}
