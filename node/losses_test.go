package node

import (
	"sync/atomic"
	"testing"

	"github.com/beeline-ws/beeline/router"
)

// The losses that wait to be told are bounded, while the router takes none. Once it does,
// there is room again.
func TestLossesThatWaitAreBounded(t *testing.T) {
	r := start(t, nil)
	var told atomic.Int32
	count := uint64(0)
	lose := func() {
		count++
		id := router.MessageID{Count: count}
		r.x.unconfirmed[id] = func(router.MessageID, router.Outcome) { told.Add(1) }
		r.losses.add(r.Node, loss{"bob", id})
	}
	waiting := func() int {
		r.losses.mu.Lock()
		defer r.losses.mu.Unlock()
		return len(r.losses.list)
	}
	want := int32(0)
	for range 2 {
		r.x.mu.Lock() // the router takes none
		lose()
		eventually(t, "the first loss is on its way", func() bool { return waiting() == 0 })
		for range maxLosses + 5 {
			lose()
		}
		if n := waiting(); n != maxLosses {
			t.Errorf("%d losses wait, want %d", n, maxLosses)
		}
		r.x.mu.Unlock()
		want += 1 + maxLosses
		eventually(t, "all that waited are told", func() bool { return told.Load() == want })
	}
}
