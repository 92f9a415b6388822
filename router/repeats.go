package router

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// A client that did not get its receipt, because its connection broke, may send the
// message again under the name that it gave it. The sender's node and the receiver's
// remember what was delivered: the repeat gets the first one's receipt, as long as it
// meets one of them. What failed is forgotten, so that a repeat is another try.

// maxRepeats is how many messages with a Ref are remembered at least, of those
// delivered last; at most twice as many are.
const maxRepeats = 1 << 17

// likeness is what a repeat has in common with its first. The sender's name is hashed
// with a secret, so that no client can make up a message that counts as another's.
type likeness struct{ from, content uint64 }

// first is what is known about a message that may be repeated.
type first struct {
	p         *pending // while it has no outcome, at its sender's node
	id        MessageID
	outcome   Outcome
	delivered bool
}

// repeats remembers messages that may be repeated, in two generations. Its mu is
// taken last.
type repeats struct {
	seed maphash.Seed

	mu         sync.Mutex
	young, old map[likeness]first
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), young: make(map[likeness]first)}
}

// content sums up what else makes a message the same, for all nodes alike; 0 means
// that it has no Ref.
func (m *Message) content() uint64 {
	if len(m.Ref) == 0 {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	var size [8]byte
	for _, part := range [...][]byte{m.Ref, bytesOf(m.To), m.Data} {
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		_, _ = d.Write(size[:]) // it never fails
		_, _ = d.Write(part)
	}
	return max(d.Sum64(), 1)
}

func (t *repeats) likeness(from string, content uint64) likeness {
	return likeness{maphash.String(t.seed, from), content}
}

func (t *repeats) get(l likeness) (first, bool) {
	f, ok := t.young[l]
	if !ok {
		f, ok = t.old[l]
	}
	return f, ok
}

func (t *repeats) put(l likeness, f first) {
	if len(t.young) >= maxRepeats {
		t.young, t.old = t.old, t.young
		clear(t.young)
		if t.young == nil {
			t.young = make(map[likeness]first)
		}
	}
	t.young[l] = f
}

// begin remembers that p is on its way, or returns the one that it repeats.
func (t *repeats) begin(p *pending) (first, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.likeness(p.From, p.content)
	if f, ok := t.get(l); ok && (f.delivered || f.p != nil) {
		return f, true
	}
	t.put(l, first{p: p, id: p.ID})
	return first{}, false
}

// end remembers p's outcome, if it was delivered.
func (t *repeats) end(p *pending, o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.likeness(p.From, p.content)
	f, ok := t.get(l)
	switch {
	case ok && f.p != p:
	case o == Delivered || o == Confirmed:
		t.put(l, first{id: p.ID, outcome: o, delivered: true})
	default:
		delete(t.young, l)
		delete(t.old, l)
	}
}

// delivers tells whether a message of that ID is to be delivered here: not if it
// repeats one that was.
func (t *repeats) delivers(from string, content uint64, id MessageID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, _ := t.get(t.likeness(from, content))
	return !f.delivered || f.id == id
}

// delivered remembers that a message was delivered here.
func (t *repeats) delivered(from string, content uint64, id MessageID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.likeness(from, content)
	f, _ := t.get(l)
	if !f.delivered {
		f.id, f.outcome, f.delivered = id, Delivered, true
		t.put(l, f)
	}
}

// repeated answers p as the one that it repeats, if there is one. It is called with
// mu held.
func (r *Router) repeated(p *pending) bool {
	if p.content == 0 {
		return false
	}
	f, ok := r.repeats.begin(p)
	if !ok {
		return false
	}
	done := p.done
	if done == nil {
		done = func(MessageID, Outcome) {}
	}
	if f.p != nil {
		f.p.also = append(f.p.also, done)
	} else {
		r.outcomes[f.outcome][pathLocal].Inc()
		r.calls = append(r.calls, call{done, f.id, f.outcome})
	}
	r.reuse(p)
	return true
}
