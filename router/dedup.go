package router

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A client that did not get its receipt, because its connection broke, may send the
// message again under the name that it gave it. The sender's node and the receiver's
// remember what was delivered: the repeat gets the first one's receipt, as long as it
// meets one of them. What failed is forgotten, so that a repeat is another try. For how
// long a message is remembered: outcomelog.go.

const (
	// maxAlso is how many repeats of one message wait for its outcome. Those beyond are
	// Overloaded.
	maxAlso = 1 << 8
)

// fingerprint is what a repeat has in common with its first: a hash of it with a secret,
// so that no client can make up a message that counts as another's.
type fingerprint uint64

// dedup remembers messages that may be repeated. Its mu is taken last, its turns
// before the local addresses' lock.
type dedup struct {
	now   func() time.Time
	seed  maphash.Seed
	turns [64]sync.Mutex // of local deliveries, by fingerprint

	mu        sync.Mutex
	underWay  map[fingerprint]*pending
	delivered *outcomeLog
}

func newDedup(now func() time.Time) *dedup {
	return &dedup{
		now: now, seed: maphash.MakeSeed(), underWay: make(map[fingerprint]*pending), delivered: newOutcomeLog(maxRemembered),
	}
}

// hashContent returns a hash of m's Ref, receiver and data, which is the same on all nodes; 0
// if m has no Ref. Repeats of one sender have the same.
func (m *Message) hashContent() uint64 {
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

// fingerprint returns m's fingerprint, and a hash of its sender.
func (t *dedup) fingerprint(m *Message) (l fingerprint, sender uint64) {
	sender = maphash.String(t.seed, m.From)
	return fingerprint(sender ^ maphash.Comparable(t.seed, m.contentHash)), sender
}

// begin remembers that p is under way. If p repeats a message that is under way, it returns
// that one instead; if p repeats one that was delivered, it returns that one's outcome.
func (t *dedup) begin(p *pending) (first *pending, o Outcome, repeated bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.delivered.age(p.accepted)
	l, _ := t.fingerprint(&p.Message)
	if first = t.underWay[l]; first != nil && first.shard == p.shard { // else they only look alike
		return first, 0, true
	}
	if o, repeated = t.delivered.outcome(l); !repeated {
		t.underWay[l] = p
	}
	return nil, o, repeated
}

// end remembers p's outcome, if it was delivered.
func (t *dedup) end(p *pending, o Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l, sender := t.fingerprint(&p.Message)
	delete(t.underWay, l)
	if o == Delivered || o == Confirmed {
		t.delivered.add(sender, l, o, t.now())
	}
}

// deliverOnce delivers m here, unless this node remembers a delivered message with m's
// fingerprint. Copies of one message that come by different links take turns. A message that
// a session's queue may drop again is not remembered.
func (t *dedup) deliverOnce(m *Message, deliver func() ackResult) (result ackResult, repeated bool) {
	l, sender := t.fingerprint(m)
	turn := &t.turns[l%fingerprint(len(t.turns))]
	turn.Lock()
	defer turn.Unlock()
	t.mu.Lock()
	t.delivered.age(t.now())
	_, ok := t.delivered.outcome(l)
	t.mu.Unlock()
	if ok {
		return ackDelivered, true
	}
	if result = deliver(); result == ackDelivered && !m.Droppable {
		t.mu.Lock()
		t.delivered.add(sender, l, Delivered, t.now())
		t.mu.Unlock()
	}
	return result, false
}

// answerRepeat answers p as the one that it repeats, if there is one.
func (s *shard) answerRepeat(p *pending) bool {
	if p.contentHash == 0 {
		return false
	}
	first, o, ok := s.r.dedup.begin(p)
	if !ok {
		return false
	}
	done := p.done
	if done == nil {
		done = func(MessageID, Outcome) {}
	}
	switch {
	case first != nil && len(first.also) >= maxAlso:
		o := s.r.overloaded(overloadSender)
		s.r.outcomes[o][pathLocal].Inc()
		s.calls = append(s.calls, call{done, p.ID, o})
	case first != nil:
		first.also = append(first.also, done)
	default:
		s.r.outcomes[o][pathLocal].Inc()
		s.calls = append(s.calls, call{done, p.ID, o})
	}
	s.reuse(p)
	return true
}
