//go:build !386

package node

import (
	"sync"
	"sync/atomic"
)

// gathering puts off what is for sessions while a loop feeds another one, or a batch
// from another node is delivered: of the hundreds of messages in it many are for the
// same few sessions, and each of these is then written to once. The goroutine that ends a feeding
// writes all of them, so that none waits for longer than that.
type gathering struct {
	most    int // bytes that may wait in one session
	feeding atomic.Int32

	mu    sync.Mutex
	wires []*pollWire
}

// maxGathered bounds what waits in one session, so that the socket of one to which
// much is sent does not stand idle. What a session's queue may hold bounds it too.
const maxGathered = 64 << 10

func (g *gathering) begin() { g.feeding.Add(1) }

// putOff puts w off, unless nobody feeds. It is called with the session's lock held. w is
// marked before anybody can find it here: who does looks at the mark first.
func (g *gathering) putOff(w *pollWire) bool {
	if g.feeding.Load() == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.feeding.Load() == 0 {
		return false
	}
	w.flags.Or(wireGathered)
	g.wires = append(g.wires, w)
	return true
}

// end returns what is to be written now. The next ones are put into spare.
func (g *gathering) end(spare []*pollWire) []*pollWire {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.feeding.Add(-1)
	all := g.wires
	g.wires = spare[:0]
	return all
}
