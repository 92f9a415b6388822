package registry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// externalValues are what somebody else may have written in the place of a key.
var externalValues = map[string]func(ctx context.Context, c redis.UniversalClient, key string) error{
	"string": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.Set(ctx, key, strings.Repeat("x", 1<<20), 0).Err()
	},
	"list": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.RPush(ctx, key, "n1", "1").Err()
	},
	"large hash": func(ctx context.Context, c redis.UniversalClient, key string) error {
		fields := make([]any, 0, 4*MaxOwners)
		for i := range 2 * MaxOwners {
			fields = append(fields, fmt.Sprint("n", i), "1")
		}
		return c.HSet(ctx, key, fields...).Err()
	},
	"hash of no entries": func(ctx context.Context, c redis.UniversalClient, key string) error {
		return c.HSet(ctx, key, "n1", "no number", "n 2", "1").Err()
	},
}

// poison overwrites a key.
func (n *testNode) poison(what, key string) {
	n.t.Helper()
	must(n.t, n.rdb.Del(n.t.Context(), key).Err())
	must(n.t, externalValues[what](n.t.Context(), n.rdb, key))
}

func onEachRubbish(t *testing.T, test func(t *testing.T, s store, what string)) {
	onEach(t, func(t *testing.T, s store) {
		for what := range externalValues {
			t.Run(what, func(t *testing.T) {
				own := s
				own.prefix += ":" + strings.ReplaceAll(what, " ", "-")
				test(t, own, what)
			})
		}
	})
}

func TestKeyThatIsNotBeelinesIsReplacedAndHindersNobodyElse(t *testing.T) {
	onEachRubbish(t, func(t *testing.T, s store, what string) {
		a := startNode(t, s, "a", Options{Heartbeat: 2 * time.Second})
		a.keepBeating()
		a.poison(what, a.keys.Address("x"))
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if _, err := a.claimFor(15*time.Second, new(Lease), fmt.Sprint("other", i)); err != nil {
					t.Error(err)
				}
			})
		}
		x := a.claim("x")
		all.Wait()
		a.wantOwners("x", a.owner(x))
		a.wantTTL("x")
		if n := value(t, a.metrics.ForeignKeys); n == 0 {
			t.Error("the key is not counted")
		}
	})
}

// The lease that was overwritten is restored on its node, and until then nobody is told
// that its client is offline.
func TestOverwrittenLeaseIsRestoredAndNeverTakenForAbsent(t *testing.T) {
	onEachRubbish(t, func(t *testing.T, s store, what string) {
		a := startNode(t, s, "a", Options{Heartbeat: 2 * time.Second})
		b := startNode(t, s, "b", Options{Heartbeat: 2 * time.Second})
		a.keepBeating()
		b.keepBeating()
		x := a.claim("x")
		b.eventuallySettled("x")
		a.poison(what, a.keys.Address("x"))
		eventually(t, func() bool {
			owners, err := b.Lookup(t.Context(), "x")
			if err != nil {
				wantError(t, err, ErrUnsettled)
				return false
			}
			if len(owners) == 0 {
				settled, err := b.ConfirmAbsent(t.Context(), "x")
				must(t, err)
				if settled {
					t.Fatal("x is taken for absent")
				}
				return false
			}
			return owners[0] == a.owner(x)
		}, func() string { return "x has no owner" })
	})
}

// Who claims over a lease that was overwritten must learn of it, as after a flush.
func TestClaimOverAnOverwrittenLeaseLearnsOfIt(t *testing.T) {
	onEachRubbish(t, func(t *testing.T, s store, what string) {
		for _, rule := range []Duplicates{Allow, Reject} {
			own := s
			own.prefix += ":" + string(rule)
			a := startNode(t, own, "a", Options{Heartbeat: 2 * time.Second}).under(rule)
			b := startNode(t, own, "b", Options{Heartbeat: 2 * time.Second}).under(rule)
			a.keepBeating()
			b.keepBeating()
			x := a.claim("x")
			a.poison(what, a.keys.Address("x"))
			others, err := b.claimFor(15*time.Second, new(Lease), "x")
			if rule == Reject {
				wantError(t, err, ErrHeld)
			} else {
				must(t, err)
			}
			if len(others) != 1 || others[0] != a.owner(x) {
				t.Errorf("%s: others are %v, want a's", rule, others)
			}
		}
	})
}

func TestOverwrittenKeysOfOneRefreshHinderNoOther(t *testing.T) {
	onEachRubbish(t, func(t *testing.T, s store, what string) {
		a := startNode(t, s, "a", Options{Heartbeat: 2 * time.Second})
		a.keepBeating()
		leases := claimMany(a, 100)
		for _, l := range leases[:10] {
			a.poison(what, a.keys.Address(l.Address()))
		}
		for _, l := range leases {
			must(t, a.rdb.PExpire(t.Context(), a.keys.Address(l.Address()), time.Minute).Err())
		}
		a.VerifyLeases()
		for _, l := range leases {
			a.eventuallyOwners(l.Address(), a.owner(l))
			eventually(t, func() bool { return a.rdb.PTTL(t.Context(), a.keys.Address(l.Address())).Val() > time.Minute },
				func() string { return l.Address() + " is not refreshed" })
		}
		a.eventuallySettled("other")
	})
}

// Every key of the registry in turn: a cluster whose nodes hold leases welcomes newcomers
// on, and says so.
func TestNoKeyThatIsOverwrittenStopsTheCluster(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{Heartbeat: time.Second})
		b := startNode(t, s, "b", Options{Heartbeat: time.Second})
		a.keepBeating()
		b.keepBeating()
		held := a.claim("held")
		tags, err := a.masters.find(t.Context())
		must(t, err)
		keys := []string{a.keys.Nodes(), a.keys.Node("a"), a.keys.Node("b"), a.keys.Address("held")}
		for _, tag := range tags {
			keys = append(keys, a.keys.Epoch(tag))
		}
		for what := range externalValues {
			for i, key := range keys {
				if strings.Contains(what, "hash") && (key == a.keys.Nodes() || strings.Contains(key, ":epoch:")) {
					continue // as any hash
				}
				a.poison(what, key)
				address := fmt.Sprint(strings.ReplaceAll(what, " ", ""), i)
				eventually(t, func() bool { // what was begun before is not to be repeated for ever
					_, err := b.claimFor(20*time.Second, new(Lease), address)
					if err != nil {
						t.Log(err)
					}
					return err == nil
				}, func() string { return address + " is not claimed after " + what + " at " + key })
				a.eventuallyOwners("held", a.owner(held))
				a.wantSettledSoon()
			}
		}
	})
}

func (n *testNode) wantSettledSoon() {
	n.t.Helper()
	eventually(n.t, n.AllSettled, func() string { return "the registry stays unsettled" })
}

func TestEntriesThatAreNoOwnersAreRemovedAndThoseOfOwnersStay(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{Heartbeat: time.Second}), startNode(t, s, "b", Options{Heartbeat: time.Second})
		a.keepBeating()
		b.keepBeating()
		l, key := a.claim("x"), a.keys.Address("x")
		for field, value := range map[string]string{
			"has space": "1", "": "1", "{a}": "1", strings.Repeat("n", 1<<20): "1", "line\nfeed": "1",
			"n1": "", "n2": "no number", "n3": strings.Repeat("f", 17), "n4": "FF", "n5": strings.Repeat("1", 1<<20),
		} {
			must(t, a.rdb.HSet(t.Context(), key, field, value).Err())
		}
		_, err := b.Lookup(t.Context(), "x")
		wantError(t, err, ErrUnsettled)
		a.eventuallyOwners("x", a.owner(l))
		if n := a.rdb.HLen(t.Context(), key).Val(); n != 1 {
			t.Errorf("%d entries, want the owner's", n)
		}
		must(t, a.rdb.HSet(t.Context(), key, "a", "zzz").Err()) // which is later, as texts go
		a.refreshAllNow()
		a.eventuallyOwners("x", a.owner(l))
		if n := value(t, a.metrics.LeasesLost.WithLabelValues("taken")); n != 0 {
			t.Error("the lease counts as taken")
		}
	})
}

func TestRubbishIsToldOnceAndWithoutItsControlCharacters(t *testing.T) {
	var out bytes.Buffer
	var l limitedLog
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for range 5 {
		l.warn(log, "found", "key", quoted("k\x1b[31m\n\u202e"+strings.Repeat("x", 1000)))
	}
	if n := strings.Count(out.String(), "found"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	if s := quoted("k\x1b[31m\n\u202e"); s != `"k\x1b[31m\n\u202e"` {
		t.Errorf("quoted: %s", s)
	}
	if len(quoted(strings.Repeat("\xff", 1<<20))) > 4*maxQuoted+5 {
		t.Error("what is quoted has no bound")
	}
	l.mu.last = l.mu.last.Add(-limitedLogEvery)
	l.warn(log, "found")
	if !strings.Contains(out.String(), `"others_since_the_last_line":4`) {
		t.Errorf("the lines that were left out are not counted: %s", out.String())
	}
}
