package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// What a beat reads must not grow with the square of the nodes.
func TestLargeClusterReadsTheListOfNodesSeldom(t *testing.T) {
	a := quietNode(t, single(redistest.Start(t)), "a", Options{})
	for nodes, every := range map[int]int{3: 1, 199: 1, 1000: 10} {
		a.beats.seen = make(map[string]lastSeen)
		for i := range nodes {
			a.beats.seen[fmt.Sprint(i)] = lastSeen{at: time.Now().Add(-a.timing.NodeTTL())}
		}
		around := 0
		for range 100 {
			if a.nodesToRead() > 0 {
				around++
			}
		}
		if around != 100/every {
			t.Errorf("%d nodes: %d of 100 beats read the list, want %d", nodes, around, 100/every)
		}
		if remembered := len(a.seenRecently()); (remembered > 0) != (every > 1) {
			t.Errorf("%d nodes: %d are remembered after a lease's life", nodes, remembered)
		}
	}
}

func TestBeatStrikesOffWhoIsLongGone(t *testing.T) {
	onEach(t, func(t *testing.T, s store) {
		a := quietNode(t, s, "a", Options{})
		now := time.Now()
		must(t, a.rdb.ZAdd(t.Context(), a.keys.Nodes(), redis.Z{Score: float64(now.Add(-2 * longGone).UnixMilli()), Member: "gone"},
			redis.Z{Score: float64(now.Add(-longGone / 2).UnixMilli()), Member: "slow"}).Err())
		a.beat()
		listed, err := a.rdb.ZRange(t.Context(), a.keys.Nodes(), 0, -1).Result()
		must(t, err)
		if want := []string{"slow", "a"}; !slices.Equal(listed, want) {
			t.Errorf("listed: %q, want %q", listed, want)
		}
	})
}
