package link

import (
	"sync/atomic"
	"time"
)

// Each life of a link has a number, which its receiver takes for newer or older than
// that of another life, so that a batch of a former life, held up or played again, does
// nothing. A number is made of the time at which the life began, so that it is newer
// than any that the process gave before, and of chance, so that who can't listen can't
// acknowledge for the peer.
//
// A receiver that believes in a newer life than its sender is in takes nothing, but
// says what it believes in each acknowledgement. There are two ways to get there: it
// has forgotten the link meanwhile and allows only what is newer than all that it has
// forgotten, or somebody else has made up a batch. Then the sender begins a still newer
// life. Numbers are compared as if on a circle, as TCP's are, so there is always one.

// chanceBits is the part of a life's number that is chance. The rest is Unix µs.
const chanceBits = 12

// newerLife reports whether a is a newer life than b. 0 is no life.
func newerLife(a, b uint64) bool { return a != 0 && (b == 0 || int64(a-b) > 0) }

// Lives numbers the lives of all links of a node. Several goroutines may use it.
type Lives struct {
	chance func() uint64
	last   atomic.Uint64 // the newest that was given, or seen
	floor  atomic.Uint64 // newer than the peers' lives of links that are forgotten
}

// NewLives returns lives that take their part of chance from a source that several
// goroutines may use.
func NewLives(chance func() uint64) *Lives { return &Lives{chance: chance} }

// Next returns a number for a life that begins now.
func (v *Lives) Next(now time.Time) uint64 {
	for {
		last := v.last.Load()
		life := uint64(now.UnixMicro())<<chanceBits | v.chance()&(1<<chanceBits-1)
		if !newerLife(life, last) {
			life = max(last+1, 1) // not 0, behind the largest number
		}
		if v.last.CompareAndSwap(last, life) {
			return life
		}
	}
}

// Saw has what Next returns be newer than a life that a peer believes in.
func (v *Lives) Saw(life uint64) { raise(&v.last, life) }

// Forget has new links begin with a life of their peers that is newer than that of a link
// which is forgotten: whoever has recorded a batch of it could play it again as that of a
// new link.
func (v *Lives) Forget(peerLife uint64) {
	if peerLife != 0 {
		raise(&v.floor, max(peerLife+1, 1))
	}
}

// Floor returns the oldest life of a peer that a new link takes; 0: any.
func (v *Lives) Floor() uint64 { return v.floor.Load() }

func raise(to *atomic.Uint64, life uint64) {
	for old := to.Load(); newerLife(life, old) && !to.CompareAndSwap(old, life); {
		old = to.Load()
	}
}
