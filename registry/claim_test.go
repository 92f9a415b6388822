package registry

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestAllowLetsEveryNodeOwn(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		atA := a.claim("alice")
		var atB Lease
		others := b.claimInto(&atB, "alice")
		if len(others) != 1 || others[0] != a.owner(atA) {
			t.Fatalf("others: %v, want a's", others)
		}
		a.wantOwners("alice", a.owner(atA), b.owner(&atB))
		a.wantTTL("alice")
	})
}

// Until it was told, the earlier session is welcomed and must be found; and who
// claims may fail before that.
func TestReplaceNamesTheEarlierOwnerAndLeavesIt(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Replace), startNode(t, s, "b", Options{}).under(Replace)
		atA := a.claim("alice")
		var atB Lease
		others := b.claimInto(&atB, "alice")
		if len(others) != 1 || others[0] != a.owner(atA) {
			t.Fatalf("others: %v, want a's", others)
		}
		b.wantOwners("alice", a.owner(atA), b.owner(&atB))

		a.refreshAllNow()
		b.wantOwners("alice", a.owner(atA), b.owner(&atB))
		a.Release(atA)
		b.eventuallyOwners("alice", b.owner(&atB))
	})
}

func TestRejectRefusesTheNewcomer(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Reject), startNode(t, s, "b", Options{}).under(Reject)
		atA := a.claim("alice")
		_, err := b.claimBy(time.Time{}, new(Lease), "alice")
		wantError(t, err, ErrHeld)
		a.wantOwners("alice", a.owner(atA))

		a.Release(atA)
		a.eventuallyOwners("alice")
		atB := b.claim("alice")
		a.wantOwners("alice", b.owner(atB))
	})
}

// The rule is the address's: one node claims some for itself alone, and shares others.
func TestEachAddressHasItsOwnRule(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		client, room := a.under(Reject).claim("client"), a.under(Allow).claim("#room")
		_, err := b.under(Reject).claimFor(testTime, new(Lease), "client")
		wantError(t, err, ErrHeld)
		other := b.under(Allow).claim("#room")
		for _, address := range []string{"client", "#room"} {
			must(t, a.rdb.Del(t.Context(), a.keys.Address(address)).Err())
		}
		b.under(Reject).claim("client")
		b.refreshAllNow()
		a.refreshAllNow()
		a.wantEvicted(client)
		a.wantOwners("#room", a.owner(room), b.owner(other))
		if held, shared := a.refresher.holds(client), a.refresher.holds(room); held || !shared {
			t.Errorf("client held: %v, want false; #room held: %v, want true", held, shared)
		}
	})
}

func TestUnknownRuleIsRefused(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{}).under("both")
	l := new(Lease)
	if _, err := a.claimFor(testTime, l, "client"); err == nil || !strings.Contains(err.Error(), "allow, replace or reject") {
		t.Errorf("error: %v, want one that says what is allowed", err)
	}
	a.wantOwners("client")
	a.under(Allow).claimInto(l, "client")
}

func TestRejectClaimsOverTheDead(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Reject), startNode(t, s, "b", Options{}).under(Reject)
		a.claim("alice")
		a.crash()
		atB := b.claim("alice")
		b.wantOwners("alice", b.owner(atB))
	})
}

func TestLateReleaseSparesAnotherNodesClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}).under(Replace), startNode(t, s, "b", Options{}).under(Replace)
		late := a.claim("alice")
		newer := b.claim("alice")
		a.Release(late)
		a.committed()
		a.wantOwners("alice", b.owner(newer))
	})
}

func TestLateReleaseSparesTheSameNodesNewerClaim(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		late := a.claim("alice")
		newer := a.claim("alice")
		a.Release(late)
		a.committed()
		a.wantOwners("alice", a.owner(newer))
	})
}

// committed returns when everything that was queued before is committed.
func (n *testNode) committed() {
	n.t.Helper()
	n.Release(n.claim("committed"))
	n.eventuallyOwners("committed")
}

func TestReleaseRemovesTheEntryOnce(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{})
	l := a.claim("alice")
	a.Release(l)
	a.Release(l)
	a.Release(new(Lease))
	a.eventuallyOwners("alice")
}

func TestClaimsThatArriveTogetherTravelTogether(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{})
	a.claim("warm")
	before := s.CommandCount(t, "evalsha")["evalsha"]

	s.Pause()
	var claims sync.WaitGroup
	for i := range 1000 {
		claims.Go(func() { a.claim(fmt.Sprint("client", i)) })
	}
	eventually(t, func() bool {
		a.batcher.mu.Lock()
		defer a.batcher.mu.Unlock()
		return len(a.batcher.claims) >= 1000-maxGroup
	}, func() string { return "claims do not gather" })
	s.Resume()
	claims.Wait()

	if calls := s.CommandCount(t, "evalsha")["evalsha"] - before; calls > 40 {
		t.Errorf("1000 claims took %d script calls, want a few a group", calls)
	}
}

func TestLeaseWhoseClaimFailedMayBeClaimedAgain(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := hastyNode(t, single(s), "a")
	s.Pause()
	var l Lease
	if _, err := a.claimFor(50*time.Millisecond, &l, "alice"); err == nil { // its round trip fails
		t.Error("claimed without Redis")
	}
	s.Resume()
	a.committed()
	a.wantOwners("alice")

	a.claimInto(&l, "alice")
	a.wantOwners("alice", a.owner(&l))
}

func TestClaimAfterStopFails(t *testing.T) {
	t.Parallel()
	s := single(redistest.Start(t))
	a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
	l := a.claim("alice")
	a.Release(l)
	must(t, a.Stop(t.Context()))
	b.wantOwners("alice")
	if _, ok, err := b.Node(t.Context(), "a"); ok || err != nil {
		t.Errorf("node lease after stop: %v, %v", ok, err)
	}
	_, err := a.claimBy(time.Time{}, new(Lease), "alice")
	wantError(t, err, errStopped)
}

func TestPruneComparesTokens(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		atA, atB := a.claim("alice"), b.claim("alice")
		must(t, b.Prune(t.Context(), "alice", a.owner(atA), Owner{"b", "an earlier token"}, Owner{"c", "x"}))
		b.wantOwners("alice", b.owner(atB))
		must(t, b.Prune(t.Context(), "alice"))
	})
}

func TestLookupsShareAPipeline(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		alice, bob := a.claim("alice"), a.claim("bob")
		var pipelines atomic.Int64 // that look up
		a.rdb.AddHook(onPipelines(func(send func() error, cmds []redis.Cmder) error {
			if cmds[0].Args()[1] == LookupScript() {
				pipelines.Add(1)
			}
			return send()
		}))
		answers := a.LookupAll(t.Context(), []string{"alice", "bob", "nobody"})
		if n := pipelines.Load(); n != 1 {
			t.Errorf("%d pipelines, want one", n)
		}
		for i, want := range [][]Owner{{a.owner(alice)}, {a.owner(bob)}, nil} {
			got := answers[i].Owners
			must(t, answers[i].Err)
			if len(got) != len(want) || len(want) == 1 && got[0] != want[0] {
				t.Errorf("lookup %d: %v, want %v", i, got, want)
			}
		}
		a.wantSettled("nobody", true)
	})
}

func TestScriptsAreLoadedAgain(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		must(t, s.client(t).ScriptFlush(t.Context()).Err())
		l := a.claim("alice")
		must(t, s.client(t).ScriptFlush(t.Context()).Err())
		a.refreshAllNow()
		a.wantOwners("alice", a.owner(l))
	})
}
