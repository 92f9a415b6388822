package registry

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestRefreshExtendsTheTTL(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		a.claim("alice")
		must(t, a.rdb.PExpire(t.Context(), a.keys.Address("alice"), 5e9).Err())
		a.refreshAllNow()
		ttl := a.rdb.PTTL(t.Context(), a.keys.Address("alice")).Val()
		if ttl < a.timing.RefreshEvery() {
			t.Errorf("TTL after refresh is %v", ttl)
		}
	})
}

func TestRefreshClaimsAgainWhatIsMissing(t *testing.T) {
	for _, rule := range []Duplicates{Allow, Replace, Reject} {
		t.Run(string(rule), func(t *testing.T) {
			onEach(t, func(t *testing.T, s store) {
				a := startNode(t, s, "a", Options{}).under(rule)
				l := a.claim("alice")
				must(t, a.rdb.Del(t.Context(), a.keys.Address("alice")).Err())
				a.refreshAllNow()
				if got := receive(t, a.restored, "a lease is claimed again"); got != l {
					t.Fatalf("claimed again: %s", got.Address())
				}
				a.wantOwners("alice", a.owner(l))
				a.wantTTL("alice")
				if n := value(t, a.metrics.LeasesLost.WithLabelValues("missing")); n != 1 {
					t.Errorf("%v leases lost as missing, want 1", n)
				}
			})
		})
	}
}

func TestRefreshUnderAllowClaimsAgainBesideOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{}), startNode(t, s, "b", Options{})
		atA, atB := a.claim("alice"), b.claim("alice")
		must(t, a.rdb.HDel(t.Context(), a.keys.Address("alice"), "a").Err())
		a.refreshAllNow()
		receive(t, a.restored, "a lease is claimed again")
		a.wantOwners("alice", a.owner(atA), b.owner(atB))
	})
}

func TestRefreshClaimsAgainOverTheDead(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{}).under(Replace)
		l := a.claim("alice")
		key := a.keys.Address("alice")
		must(t, a.rdb.HDel(t.Context(), key, "a").Err())
		must(t, a.rdb.HSet(t.Context(), key, "dead", "70ce").Err())
		a.refreshAllNow()
		receive(t, a.restored, "a lease is claimed again")
		a.wantOwners("alice", a.owner(l))
		if n := value(t, a.metrics.PrunedOwners); n != 1 {
			t.Errorf("%v owners pruned, want 1", n)
		}
	})
}

func TestRefreshReportsTheSameNodesNewerClaim(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{})
	older, newer := a.claim("alice"), a.claim("alice")
	a.refreshAllNow()
	a.wantEvicted(older)
	a.wantOwners("alice", a.owner(newer))
	if n := value(t, a.metrics.Leases); n != 1 {
		t.Errorf("%v leases, want 1", n)
	}
}

func TestReclaimNeverOverwritesTheSameNodesNewerClaim(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{})
	older, newer := a.claim("alice"), a.claim("alice")
	must(t, a.refresher.reclaim(t.Context(), []*Lease{older}))
	a.wantEvicted(older)
	a.wantOwners("alice", a.owner(newer))
}

func TestReleaseDuringReclaimLeavesNoEntry(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{})
	l := a.claim("alice")
	must(t, a.rdb.Del(t.Context(), a.keys.Address("alice")).Err())
	s.Pause()
	w, answers := &lostLease{lease: l, rule: Allow}, make(chan *lostLease, 1)
	claiming, err := a.refresher.claimHeld(w, answers)
	must(t, err)
	if !claiming {
		t.Error("a held lease is not claimed again")
	}
	a.Release(l)
	if claiming, _ := a.refresher.claimHeld(w, answers); claiming {
		t.Error("a released lease is claimed again")
	}
	s.Resume()
	must(t, receive(t, answers, "the claim is answered").claim.err)
	a.committed()
	a.wantOwners("alice")
}

// watcher counts the refreshes that a client sends, by key.
type watcher struct {
	refreshes map[string]int
	calls     int
}

func (w *watcher) watch(send func() error, cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		args := cmd.Args()
		if len(args) < 3 || args[1] != refreshScript.SHA() {
			continue
		}
		w.calls++
		for i := range args[2].(int) {
			w.refreshes[*args[3+i].(*string)]++
		}
	}
	return send()
}

// TestRefreshesAreSpread lets half an hour pass for a node with 10,000 leases that
// were claimed at once, some of which end on the way, and for two nodes beside it.
func TestRefreshesAreSpread(t *testing.T) {
	t.Parallel()
	s := single(redistest.Start(t))
	a := startNode(t, s, "a", Options{})
	beside := []*testNode{startNode(t, s, "b", Options{}), startNode(t, s, "c", Options{})}
	const leases, intervals = 10_000, 60
	held := claimMany(a, leases)
	for _, n := range beside {
		claimMany(n, leases/10)
	}
	a.refreshAllNow() // loads the script
	w := &watcher{refreshes: make(map[string]int)}
	a.rdb.AddHook(onPipelines(w.watch))

	for interval := range intervals {
		clear(w.refreshes)
		most := 0
		for range a.wheel.slots {
			before := len(w.refreshes)
			a.refresher.tick(t.Context(), 1)
			for _, n := range beside {
				n.refresher.tick(t.Context(), 1)
			}
			most = max(most, len(w.refreshes)-before)
		}
		if len(w.refreshes) != len(held) {
			t.Fatalf("interval %d: %d leases refreshed, want %d", interval, len(w.refreshes), len(held))
		}
		for key, n := range w.refreshes {
			if n != 1 {
				t.Fatalf("interval %d: %s refreshed %d times", interval, key, n)
			}
		}
		if mean := len(held)/len(a.wheel.slots) + 1; most > 2*mean {
			t.Fatalf("interval %d: a tick refreshed %d leases, the mean is %d", interval, most, mean)
		}
		for _, l := range held[:50] {
			a.Release(l)
		}
		held = append(held[50:], claimMany(a, 20)...)
	}
	for _, n := range append(beside, a) {
		if len(n.evicted)+len(n.restored) > 0 {
			t.Errorf("%d leases taken, %d missing", len(n.evicted), len(n.restored))
		}
	}
	if n := value(t, a.metrics.Leases); int(n) != len(held) {
		t.Errorf("%v leases, want %d", n, len(held))
	}
}

func TestFewLeasesWaitForOthers(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{})
	f := a.refresher
	for _, want := range []struct{ leases, owed, now int }{
		{0, 9, 9},                    // nobody waits
		{3000, 9, 0}, {3000, 10, 10}, // for a thirtieth of the interval
		{30_000, 1, 0}, {30_000, 2, 2}, {30_000, 50, 2}, // 100 a slot: two fill a call
		{60_000, 1, 1}, {60_000, 50, 1},
	} {
		for missing := want.leases - a.wheel.count; missing > 0; missing-- {
			a.wheel.add(new(Lease))
		}
		if now := f.slotsToTurn(want.owed); now != want.now {
			t.Errorf("%d leases, %d slots owed: turns %d, want %d", want.leases, want.owed, now, want.now)
		}
	}
	f.outage = true
	if f.slotsToTurn(1) != 1 {
		t.Error("ticks do not probe while Redis is away")
	}
	f.outage = false
	a.wheel.slots = make([][]*Lease, len(a.wheel.slots)) // they have no entries
}

// claimMany claims n addresses at once.
func claimMany(a *testNode, n int) []*Lease {
	leases, errs := make([]*Lease, n), make(chan error, n)
	base := a.tokens.Load()
	for i := range leases {
		leases[i] = new(Lease)
		a.ClaimAsync(time.Time{}, leases[i], fmt.Sprintf("client-%d-%d", base, i), Allow, func(_ []Owner, err error) { errs <- err })
	}
	for range n {
		must(a.t, <-errs)
	}
	return leases
}

func TestWheelLevelsWhatReleasesLeave(t *testing.T) {
	t.Parallel()
	w := newWheel(10)
	var leases []*Lease
	add := func() {
		l := new(Lease)
		w.add(l)
		leases = append(leases, l)
	}
	for range 1000 {
		add()
	}
	for _, l := range leases { // every slot of one half is emptied
		if l.slot < 5 {
			w.remove(l)
		}
	}
	for range 500 {
		add()
	}
	for i, slot := range w.slots {
		if len(slot) < 80 || len(slot) > 120 {
			t.Errorf("slot %d has %d leases, want about 100", i, len(slot))
		}
		for j, l := range slot {
			if int(l.slot) != i || int(l.index) != j {
				t.Fatalf("lease at %d/%d believes to be at %d/%d", i, j, l.slot, l.index)
			}
		}
	}
	if w.count != 1000 || len(w.all()) != 1000 {
		t.Errorf("count %d, all %d, want 1000", w.count, len(w.all()))
	}
}

func TestKeysAreDeclaredInOneSlot(t *testing.T) {
	t.Parallel()
	k := NewKeys("a*b[c]?\\", nil)
	if got, want := k.privateChannels(), `a\*b\[c\]\?\\:ch:*`; got != want {
		t.Errorf("pattern: %s, want %s", got, want)
	}
	for _, name := range []string{k.Address("x"), k.Node("x"), k.Nodes(), k.Epoch("0"), k.Channel("x"), k.Broadcast(), k.Client("x"), k.Inlet("x"), k.Reply("x")} {
		if !strings.HasPrefix(name, k.prefix+":") {
			t.Errorf("%s lacks the prefix", name)
		}
	}
}

// More leases are claimed again than a group takes, and one of the last is released.
func TestReleaseWhileManyAreClaimedAgainLeavesNoEntry(t *testing.T) {
	t.Parallel()
	a := startNode(t, single(redistest.Start(t)), "a", Options{})
	leases := claimMany(a, maxGroup+100)
	last := leases[len(leases)-1]
	for _, l := range leases {
		must(t, a.rdb.Del(t.Context(), a.keys.Address(l.Address())).Err())
	}
	var once sync.Once
	a.rdb.AddHook(onPipelines(func(send func() error, cmds []redis.Cmder) error {
		if cmds[0].Args()[1] == claimScript.SHA() {
			once.Do(func() {
				eventually(t, func() bool { return a.waiting() == len(leases) }, func() string { return "not all are claimed again" })
				a.Release(last)
			})
		}
		return send()
	}))
	first := a.begin(time.Time{}, "first") // the others wait until it is answered
	eventually(t, func() bool { return a.waiting() == 0 }, func() string { return "the first claim is not sent" })
	must(t, a.refresher.refresh(t.Context(), leases))
	must(t, first.answer(t).err)
	a.committed()
	a.wantOwners(last.Address())
}
