package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// What a beat reads must not grow with the square of the nodes.
func TestLargeClusterReadsTheListOfNodesSeldom(t *testing.T) {
	a := quietNode(t, single(redistest.Start(t)), "a", Options{Heartbeat: time.Second})
	for nodes, every := range map[int]int{3: 1, 199: 1, 1000: 10} {
		a.sighted = make(map[string]sighting)
		for i := range nodes {
			a.sighted[fmt.Sprint(i)] = sighting{at: time.Now().Add(-a.timing.NodeTTL())}
		}
		around := 0
		for range 100 {
			if a.looksAround() {
				around++
			}
		}
		if around != 100/every {
			t.Errorf("%d nodes: %d of 100 beats read the list, want %d", nodes, around, 100/every)
		}
		if remembered := len(a.seenLately()); (remembered > 0) != (every > 1) {
			t.Errorf("%d nodes: %d are remembered after a lease's life", nodes, remembered)
		}
	}
}
