package registry

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// The junk is more than is read, is ahead of all times, and of now.
func TestListOfNodesFullOfJunkHidesNobodyAndIsCleaned(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := startNode(t, s, "a", Options{Heartbeat: calm}), startNode(t, s, "b", Options{Heartbeat: calm})
		now := a.rdb.Time(t.Context()).Val()
		junk := make([]redis.Z, 0, 3*maxStruckOff)
		for i := range 3 * maxStruckOff {
			at := now.Add(time.Duration(i%3-1) * 2 * longGone) // gone, now, and far ahead
			junk = append(junk, redis.Z{Score: float64(at.UnixMilli()), Member: fmt.Sprint("junk", i)})
		}
		junk = append(junk, redis.Z{Score: 1e300, Member: "end"}, redis.Z{Score: float64(now.UnixMilli()), Member: "no\nnode"},
			redis.Z{Score: float64(now.UnixMilli()), Member: strings.Repeat("n", 1<<20)})
		must(t, a.rdb.ZAdd(t.Context(), a.keys.Nodes(), junk...).Err())
		a.keepBeating()
		b.keepBeating()
		held := a.claim("held")
		b.eventuallySettled("held")
		eventually(t, func() bool { return a.rdb.ZCard(t.Context(), a.keys.Nodes()).Val() <= maxListed },
			func() string { return "the list is not cleaned" })
		eventually(t, func() bool {
			nodes, err := a.Nodes(t.Context())
			must(t, err)
			return len(nodes) == 2
		}, func() string { return "the nodes are not listed" })
		a.wantOwners("held", a.owner(held))
		if n := len(a.seenRecently()); n > 2 {
			t.Errorf("%d nodes are remembered, want at most the two that have a lease", n)
		}
		if n := value(t, a.metrics.EpochChanges) + value(t, b.metrics.EpochChanges); n > 0 {
			t.Errorf("%v epochs began", n)
		}
	})
}

func TestReadingTheListOfNodesIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		now := a.rdb.Time(t.Context()).Val()
		junk := make([]redis.Z, 2*maxNodes)
		for i := range junk {
			junk[i] = redis.Z{Score: float64(now.UnixMilli()), Member: fmt.Sprint("junk", i)}
		}
		must(t, a.rdb.ZAdd(t.Context(), a.keys.Nodes(), junk...).Err())
		list, err := a.listNodes(t.Context())
		must(t, err)
		if len(list.listed) != maxNodes {
			t.Errorf("%d nodes are read, want %d", len(list.listed), maxNodes)
		}
	})
}

// A lease that no node refreshes would block every new epoch, and make its node immortal.
func TestLeaseThatNobodyRefreshesEnds(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{Heartbeat: 2 * time.Second})
		for id, write := range map[string]func(key string) error{
			"endless": func(key string) error { return a.rdb.HSet(t.Context(), key, "started", "1").Err() },
			"years": func(key string) error {
				must(t, a.rdb.HSet(t.Context(), key, "started", "1").Err())
				return a.rdb.Expire(t.Context(), key, 10*365*24*time.Hour).Err()
			},
			"longest": func(key string) error {
				return a.rdb.HSet(t.Context(), key, "started", "1", "heartbeat", "9e99").Err()
			},
			"string": func(key string) error { return a.rdb.Set(t.Context(), key, "x", 0).Err() },
		} {
			key := a.keys.Node(id)
			must(t, write(key))
			if _, _, err := a.Node(t.Context(), id); err != nil {
				t.Error(err)
			}
			left := a.rdb.PTTL(t.Context(), key).Val()
			limit := a.timing.NodeTTL()
			if id == "longest" {
				limit = longestLease()
			}
			if left <= 0 || left > limit {
				t.Errorf("%s: it lives for %v after it was read, want at most %v", id, left, limit)
			}
		}
		own := a.keys.Node("a")
		must(t, a.rdb.Expire(t.Context(), own, 10*365*24*time.Hour).Err())
		a.beat()
		if left := a.rdb.PTTL(t.Context(), own).Val(); left > a.timing.NodeTTL() {
			t.Errorf("this node's own lease lives for %v", left)
		}
	})
}

func TestWhatALeaseSaysIsBounded(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		fields := []any{"url", strings.Repeat("u", 1<<20), "version", strings.Repeat("v", maxField), "started", "1", "sessions", "many",
			"heartbeat", "9223372036854775807", "envelopes", "9-1"}
		for i := range 10_000 {
			fields = append(fields, fmt.Sprint("field", i), "x")
		}
		must(t, a.rdb.HSet(t.Context(), a.keys.Node("big"), fields...).Err())
		info, ok, err := a.Node(t.Context(), "big")
		must(t, err)
		if !ok || info.URL != "" || len(info.Version) != maxField || info.Sessions != 0 || info.Settings.Envelopes != first {
			t.Errorf("%v, url of %d bytes, version of %d, %d sessions, envelopes %v",
				ok, len(info.URL), len(info.Version), info.Sessions, info.Settings.Envelopes)
		}
	})
}

// Somebody who subscribes to names like those of private channels is no node for longer
// than a node may need to write its lease, and names of other clusters are none at all.
func TestSubscribersAreReadWithABound(t *testing.T) {
	onEachOwn(t, func(t *testing.T, s store) {
		a := startNode(t, s, "a", Options{})
		subscribe := a.rdb.Subscribe
		if a.redis.IsCluster() {
			subscribe = a.rdb.SSubscribe
		}
		junk := subscribe(t.Context())
		t.Cleanup(func() { _ = junk.Close() })
		names := []string{a.keys.Channel("another:cluster:ch:n1"), a.keys.Channel("no\nnode"), a.keys.Channel("")}
		if !a.redis.IsCluster() { // there it is one subscription for each slot
			for i := range 2 * maxNodes {
				names = append(names, a.keys.Channel(fmt.Sprint("junk", i)))
			}
			must(t, junk.Subscribe(t.Context(), names...))
		} else {
			for _, name := range names {
				one := subscribe(t.Context(), name)
				t.Cleanup(func() { _ = one.Close() })
				_, err := one.Receive(t.Context())
				must(t, err)
			}
		}
		for n := len(names); n > 0 && !a.redis.IsCluster(); n-- {
			_, err := junk.Receive(t.Context())
			must(t, err)
		}
		ids, err := a.subscribed(t.Context())
		must(t, err)
		if !a.redis.IsCluster() && len(ids) != maxNodes || a.redis.IsCluster() && len(ids) != 1 {
			t.Errorf("%d subscribers", len(ids))
		}
		for _, id := range ids {
			if strings.ContainsAny(id, ":\n") || id == "" {
				t.Errorf("%q is taken for a node", id)
			}
		}
	})
}
