package router

import (
	"math/bits"
	"time"
)

const (
	// maxRemembered is how many messages with a Ref are remembered. At the bound the client
	// with the most of them gives up its oldest one: to within a factor of two, since
	// clients are found by the number's binary length.
	maxRemembered = 1 << 16
	// repeatLife is for how long a message is remembered below the bound.
	repeatLife = time.Minute
	// countLengths are the lengths that the number of a client's messages may have.
	countLengths = 17
	// forgetAtOnce is how many that are too old are forgotten for each message that comes.
	forgetAtOnce = 16
)

// keptSlots is how much room is kept while nothing is remembered.
const keptSlots = 1 << 12

// outcomeLog is the messages that were delivered last, each under its fingerprint, and
// what became of them. They are shared by the clients that sent them.
//
// A message stays for repeatLife unless there are maxRemembered and its client has more than
// half of what the one with the most has. So a client that has at most half of an equal share,
// maxRemembered divided by the number of clients that sent messages with a Ref within
// repeatLife, loses none in that time, whatever the others send.
type outcomeLog struct {
	limit int
	began time.Time // the first message; ages do not depend on a wall clock that jumps
	of    map[fingerprint]int32
	byKey map[uint64]*author
	last  *author
	slots []remembered
	free  int32 // the first slot that has nothing; they form a list by newer
	// All that is remembered, by when it was.
	oldest, newest int32
	authors        [countLengths + 1]list[*author] // by the length of count
	unused         *author
}

// remembered is a message that was delivered. The numbers of slots have 1 added: 0 is none.
type remembered struct {
	fingerprint  fingerprint
	author       *author
	at           int64 // in seconds since the log began
	older, newer int32 // of all
	next         int32 // newer, of its author
	outcome      Outcome
}

// author is a client that has sent messages which are remembered.
type author struct {
	key           uint64
	count         int
	first, latest int32
	countNode     listNode[*author]
}

func (a *author) node() *listNode[*author] { return &a.countNode }

func newOutcomeLog(limit int) *outcomeLog {
	return &outcomeLog{limit: limit, of: make(map[fingerprint]int32), byKey: make(map[uint64]*author)}
}

func (t *outcomeLog) outcome(l fingerprint) (o Outcome, ok bool) {
	i := t.of[l]
	if i == 0 {
		return 0, false
	}
	return t.slots[i-1].outcome, true
}

// add remembers a message of the client that key stands for, or what became of one that is
// remembered already.
func (t *outcomeLog) add(key uint64, l fingerprint, o Outcome, now time.Time) {
	if i := t.of[l]; i != 0 {
		t.slots[i-1].outcome = o
		return
	}
	if len(t.of) >= t.limit {
		t.forget(t.largest().first)
	}
	a := t.author(key)
	i := t.slot()
	t.slots[i-1] = remembered{fingerprint: l, author: a, at: t.seconds(now), older: t.newest, outcome: o}
	t.of[l] = i
	if t.newest != 0 {
		t.slots[t.newest-1].newer = i
	} else {
		t.oldest = i
	}
	t.newest = i
	if a.latest != 0 {
		t.slots[a.latest-1].next = i
	} else {
		a.first = i
	}
	a.latest = i
	t.count(a, 1)
}

// seconds returns the time since the log began.
func (t *outcomeLog) seconds(now time.Time) int64 {
	if t.began.IsZero() {
		t.began = now
	}
	return int64(now.Sub(t.began) / time.Second)
}

// age forgets what is too old, a few at a time.
func (t *outcomeLog) age(now time.Time) {
	old := t.seconds(now.Add(-repeatLife))
	for n := 0; n < forgetAtOnce && t.oldest != 0 && t.slots[t.oldest-1].at < old; n++ {
		t.forget(t.oldest)
	}
	if len(t.of) == 0 && len(t.slots) > keptSlots { // after a busy time
		*t = *newOutcomeLog(t.limit)
	}
}

// forget frees the slot i, which is its author's oldest.
func (t *outcomeLog) forget(i int32) {
	x := t.slots[i-1]
	delete(t.of, x.fingerprint)
	if x.older != 0 {
		t.slots[x.older-1].newer = x.newer
	} else {
		t.oldest = x.newer
	}
	if x.newer != 0 {
		t.slots[x.newer-1].older = x.older
	} else {
		t.newest = x.older
	}
	if x.author.first = x.next; x.next == 0 {
		x.author.latest = 0
	}
	t.count(x.author, -1)
	t.slots[i-1] = remembered{newer: t.free}
	t.free = i
}

func (t *outcomeLog) slot() (i int32) {
	if i = t.free; i != 0 {
		t.free = t.slots[i-1].newer
		return i
	}
	t.slots = append(t.slots, remembered{})
	return int32(len(t.slots))
}

func (t *outcomeLog) author(key uint64) *author {
	if t.last != nil && t.last.key == key {
		return t.last
	}
	a := t.byKey[key]
	if a == nil {
		a, t.unused = t.unused, nil
		if a == nil {
			a = new(author)
		}
		a.key = key
		t.byKey[key] = a
	}
	t.last = a
	return a
}

// count changes how many messages of a are remembered.
func (t *outcomeLog) count(a *author, by int) {
	before := bits.Len(uint(a.count))
	a.count += by
	after := bits.Len(uint(a.count))
	if before == after {
		return
	}
	if before > 0 {
		t.authors[before].remove(a)
	}
	if after > 0 {
		t.authors[after].add(a)
		return
	}
	delete(t.byKey, a.key)
	if t.last == a {
		t.last = nil
	}
	t.unused = a
}

// largest returns a client of those with the most messages.
func (t *outcomeLog) largest() *author {
	for i := len(t.authors) - 1; ; i-- {
		if a := t.authors[i].oldest; a != nil {
			return a
		}
	}
}
