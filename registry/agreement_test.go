package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// settings are those of a cluster's nodes.
var settings = Settings{Delivery: "targeted", Duplicates: Allow, Heartbeat: 2 * time.Second, Envelopes: Versions{1, 2}, Keys: "k1"}

func (n *testNode) beatWith(s Settings) {
	n.t.Helper()
	must(n.t, n.Beat(n.t.Context(), NodeInfo{Started: time.UnixMilli(1), Settings: s}))
}

func TestNewerNodeThatDiffersYieldsAndSaysWhy(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		for name, change := range map[string]struct {
			to   func(*Settings)
			want []string
		}{
			"BEELINE_DELIVERY":    {func(s *Settings) { s.Delivery = "broadcast" }, []string{`"broadcast" here`, `"targeted" on node "a"`}},
			"BEELINE_DUPLICATES":  {func(s *Settings) { s.Duplicates = Reject }, []string{`"reject" here`, `"allow" on node "a"`}},
			"BEELINE_HEARTBEAT":   {func(s *Settings) { s.Heartbeat = time.Second }, []string{`"1s" here`, `"2s" on node "a"`}},
			"BEELINE_CLUSTER_KEY": {func(s *Settings) { s.Keys = "" }, []string{`"none" here`, `"k1" on node "a"`}},
			"envelopes":           {func(s *Settings) { s.Envelopes = Versions{3, 4} }, []string{`"3-4" here`, `"1-2" on node "a"`}},
		} {
			own := s
			own.prefix += ":" + name
			a := quietNode(t, own, "a", Options{Heartbeat: time.Minute})
			b := quietNode(t, own, "b", Options{Heartbeat: time.Minute})
			a.beatWith(settings)
			other := settings
			change.to(&other)
			b.beatWith(other)
			a.beatWith(settings)
			err := b.Disagreement()
			if err == nil {
				t.Errorf("%s: the newer does not yield", name)
				continue
			}
			for _, want := range append(change.want, name) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v does not say %s", name, err, want)
				}
			}
			if err := a.Disagreement(); err != nil {
				t.Errorf("%s: the older yields: %v", name, err)
			}
			must(t, a.channel.Close())
			must(t, a.RemoveNode(t.Context(), "a"))
			b.beatWith(other)
			if err := b.Disagreement(); err != nil {
				t.Errorf("%s: it yields to who is gone: %v", name, err)
			}
		}
	})
}

// A node whose own clock is years behind does not stop the cluster.
func TestClocksOfHostsDoNotDecideWhoYields(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a, b := quietNode(t, s, "a", Options{}), quietNode(t, s, "b", Options{})
		a.beatWith(settings)
		other := settings
		other.Delivery = "subscribe"
		must(t, b.Beat(t.Context(), NodeInfo{Started: time.UnixMilli(0), Settings: other}))
		a.beatWith(settings)
		if a.Disagreement() != nil || b.Disagreement() == nil {
			t.Errorf("a: %v, b: %v; want b to yield", a.Disagreement(), b.Disagreement())
		}
	})
}

// Nodes with a long heartbeat leave a master alone for longer than one with a short heartbeat
// would: that one must not take their data for lost, when it comes or while it yields.
func TestNodeWithAShorterHeartbeatEndsNoEpoch(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := quietNode(t, s, "a", Options{Heartbeat: time.Minute})
		b := quietNode(t, s, "b", Options{Heartbeat: 100 * time.Millisecond})
		slow, fast := settings, settings
		slow.Heartbeat, fast.Heartbeat = time.Minute, 100*time.Millisecond
		a.beatWith(slow)
		tags, err := a.masters.find(t.Context())
		must(t, err)
		ids := func() (ids []string) {
			for _, tag := range tags {
				ids = append(ids, a.rdb.HGet(t.Context(), a.keys.Epoch(tag), "id").Val())
			}
			return ids
		}
		before := ids()
		for range 2 {
			for _, tag := range tags {
				at := time.Now().Add(-time.Minute).UnixMilli()
				must(t, a.rdb.HSet(t.Context(), a.keys.Epoch(tag), "at", at).Err())
			}
			b.beatWith(fast)
			if after := ids(); !slices.Equal(after, before) {
				t.Fatalf("epochs are %v, were %v", after, before)
			}
		}
		if b.Disagreement() == nil {
			t.Error("it does not yield")
		}
	})
}

// Somebody who can write keys, but does not subscribe, stops nobody.
func TestLeaseThatNoNodeHoldsStopsNobody(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := quietNode(t, s, "a", Options{})
		must(t, a.rdb.HSet(t.Context(), a.keys.Node("forged"), "started", "1", "since", "1", "delivery", "\x1b[31m").Err())
		must(t, a.redis.Run(t.Context(), []*redisconn.Call{a.listCall("forged", 0)}))
		a.beatWith(settings)
		if err := a.Disagreement(); err != nil {
			t.Errorf("it yields: %v", err)
		}
	})
}

func TestClusterKeyIsChangedNodeByNode(t *testing.T) {
	for _, c := range []struct {
		ours, theirs string
		want         bool
	}{
		{"old", "old", true},
		{"old", "old,new", true},
		{"old,new", "new,old", true},
		{"new,old", "new", true},
		{"old", "new", false},
		{"old", "new,old", false}, // it does not accept what the other signs
		{"", "", true},
		{"", "old", false},
	} {
		if got := keysAgree(c.ours, c.theirs); got != c.want || keysAgree(c.theirs, c.ours) != got {
			t.Errorf("%q and %q agree: %v, want %v", c.ours, c.theirs, got, c.want)
		}
	}
}

// A node of before these settings were said takes part: its lease says nothing of them.
func TestNodeThatSaysNothingOfItsSettingsReadsTheFirstEnvelopes(t *testing.T) {
	older := NodeInfo{ID: "older", Started: time.UnixMilli(1)}
	if d := settings.differs(&older); d != nil {
		t.Errorf("differs: %v", d)
	}
	newer := settings
	newer.Envelopes = Versions{2, 2}
	if d := newer.differs(&older); d == nil {
		t.Error("a node that does not read the first envelopes agrees with one that writes them")
	}
}
