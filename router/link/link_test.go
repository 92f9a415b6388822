package link

import (
	"math"
	"strconv"
	"testing"
	"time"
)

// A link publishes no more than its budget before it is acknowledged, in batches of a
// bounded size, whatever waits.
func TestUnacknowledgedBytesHaveABudget(t *testing.T) {
	l := newStory(t).l
	const size = 50 << 10
	for i := range 400 {
		l.Push(storyBegin, Frame{Payload: &parcel{name: strconv.Itoa(i)}, Size: size})
	}
	publish := func() (published int) {
		for l.Ready() {
			payload, b, _ := l.Batch(storyBegin, Header{From: "n1"}, nil)
			published += b.Count * size
			if most := MaxBatchBytes + 2*largeFrame; len(payload) > most || b.Count == 0 {
				t.Fatalf("a batch of %d frames has %d bytes, want at most %d", b.Count, len(payload), most)
			}
		}
		return published
	}
	if published, most := publish(), maxBudget+MaxBatchBytes+largeFrame; published > most {
		t.Errorf("%d bytes are published without acknowledgement, want at most %d", published, most)
	}
	for range 10 {
		l.Suspend()
		l.Resume(storyBegin)
	}
	if published := publish(); published > 2*minBudget {
		t.Errorf("after losses %d bytes are published at once, want at most %d", published, 2*minBudget)
	}
	for range 3 { // each acknowledgement doubles it
		_, next, _, _, _ := l.Numbers()
		_, _ = l.Acknowledge(storyBegin, Ack{Life: l.Life(), UpTo: next - 1}, refusedBob, nil)
		if published := publish(); published < l.budget || l.budget <= minBudget {
			t.Errorf("after acknowledgements %d bytes are published at once, with a budget of %d", published, l.budget)
		}
	}
	if l.budget != 8*minBudget {
		t.Errorf("the budget is %d after three acknowledgements, want %d", l.budget, 8*minBudget)
	}
}

// A window takes MaxWindow frames and no more, and forgets the room that it took.
func TestWindowIsBounded(t *testing.T) {
	l, f := newStory(t).l, Frame{Payload: &parcel{}}
	for range MaxWindow {
		if !l.Push(storyBegin, f) {
			t.Fatalf("no room behind %d frames", l.Len())
		}
	}
	if l.Push(storyBegin, f) {
		t.Errorf("%d frames are in the window", l.Len())
	}
	for l.Ready() {
		_, _, _ = l.Batch(storyBegin, Header{From: "n1"}, nil)
	}
	settled, _ := l.Acknowledge(storyBegin, Ack{Life: l.Life(), UpTo: MaxWindow}, refusedBob, nil)
	if len(settled) != MaxWindow || l.Len() > 0 || len(l.window.ring) > maxKeptRing {
		t.Errorf("%d frames are settled, %d are left, with room for %d", len(settled), l.Len(), len(l.window.ring))
	}
}

func TestLivesGrow(t *testing.T) {
	lives := NewLives(func() uint64 { return math.MaxUint64 })
	for _, last := range []uint64{0, 1, lives.Next(time.Now()), math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
		lives.last.Store(last)
		for range 3 {
			before := lives.last.Load()
			if life := lives.Next(storyBegin); !newerLife(life, before) || life == 0 {
				t.Fatalf("life %x follows %x", life, before)
			}
		}
	}
	if newerLife(0, 1) || newerLife(0, 0) || !newerLife(1, 0) || newerLife(5, 5) {
		t.Error("0 is no life")
	}
}

// What a node has forgotten can't be played to it again as a new link.
func TestForgottenLifeIsTooOld(t *testing.T) {
	s := newStory(t)
	h := Header{From: "n2", Life: 7, First: 1, Base: 1}
	if _, ok := s.l.Receive(s.now, &h, 1, MaxRefused); !ok {
		t.Fatal("a first batch is not taken")
	}
	s.l.opts.Lives.Forget(s.l.PeerLife())
	s.l.opts.Lives.Forget(3) // an older one, later
	again := New(s.now, s.l.opts)
	if _, ok := again.Receive(s.now, &h, 1, MaxRefused); ok {
		t.Error("a batch of a forgotten link is taken again")
	}
	if h.Life++; !again.Ready() {
		t.Error("the peer does not hear which life would be taken")
	}
	if _, ok := again.Receive(s.now, &h, 1, MaxRefused); !ok {
		t.Error("a later life is not taken")
	}
}

func TestRefusedAddressesAreBounded(t *testing.T) {
	var r Refused
	for i := range 10 * MaxRefused {
		r.Add(strconv.Itoa(i), storyBegin, time.Minute, MaxRefused)
	}
	if r.Len() > 2*MaxRefused {
		t.Errorf("%d refused addresses are remembered, want at most %d", r.Len(), 2*MaxRefused)
	}
	last := strconv.Itoa(10*MaxRefused - 1)
	if r.Admits(last, false) {
		t.Error("the last one is forgotten")
	}
	if !r.Admits(last, true) || !r.Admits(last, false) {
		t.Error("an address that begins anew is still refused")
	}
}

// What was refused in a former life of the peer's link is settled there, and holds up nothing
// of the new one.
func TestNewLifeRefusesNothing(t *testing.T) {
	s := newStory(t)
	h := Header{From: "n2", Life: 7, First: 1, Base: 1}
	_, _ = s.l.Receive(s.now, &h, 1, MaxRefused)
	s.l.Refused().Add("bob", s.now, time.Minute, MaxRefused)
	s.l.Received(s.now, &h, 1, 0, 10, []Nack{{1, NackJoining}}, 0)
	h.First, h.Base = 2, 1
	if _, ok := s.l.Receive(s.now, &h, 1, MaxRefused); !ok || s.l.Refused().Admits("bob", false) || s.l.Nacks() != 1 {
		t.Error("a refused address is forgotten within a life")
	}
	h.Life, h.First = 8, 1
	if _, ok := s.l.Receive(s.now, &h, 1, MaxRefused); !ok || !s.l.Refused().Admits("bob", false) || s.l.Nacks() != 0 {
		t.Error("what was refused in a former life is refused in the next")
	}
}

// Payloads leaves out the link's own.
func TestPayloadsAreTheCallers(t *testing.T) {
	l := newStory(t).l
	l.Ping(storyBegin)
	l.Push(storyBegin, Frame{Payload: &parcel{name: "a"}})
	l.Push(storyBegin, Frame{Payload: &parcel{name: "b"}})
	var names string
	all := l.Payloads(func(p Payload) bool {
		names += p.(*parcel).name
		return names != "ab"
	})
	if names != "ab" || all {
		t.Errorf("payloads %q, all of them: %v", names, all)
	}
}
