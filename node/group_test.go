package node

import (
	"sync/atomic"
	"testing"
)

// A session may leave while the node waits for others that leave, or for none.
func TestGroupGrowsWhileItIsAwaited(t *testing.T) {
	var g group
	var ended atomic.Int32
	const some = 1000
	var waiters group
	for range some {
		waiters.Go(g.Wait)
		g.Go(func() { ended.Add(1) })
	}
	waiters.Wait()
	g.Wait()
	if n := ended.Load(); n != some {
		t.Errorf("%d have ended after Wait, want %d", n, some)
	}
}
