package ledger

import "testing"

// withTwo has bob a second session on n3.
func (s *story) withTwo(since float64) *Session { return s.connect("bob", "n3", since) }

// Every session of a client may get a message, each once, and each in its own order.
func TestSessionsAtTheSameTimeMayBothGetAMessage(t *testing.T) {
	s := newStory(t)
	second := s.withTwo(2)
	first, next := s.alice.Send("bob", false, at(5)), s.alice.Send("bob", false, at(5.1))
	s.receive(next, second, 5.2) // n3 is ahead of n2
	s.receive(first, s.bob, 5.3)
	s.receive(next, s.bob, 5.4)
	s.alice.Receipt(first.ID(), "delivered", "", at(5.3))
	s.alice.Receipt(next.ID(), "delivered", "", at(5.3))
	s.receive(first, second, 5.5)
	s.want(Reordered) // at n3, and nowhere else
}

func TestSessionThatBeganLaterMayNotGetWhatAnotherHas(t *testing.T) {
	for name, c := range map[string]struct {
		several, clocks bool
		want            []Kind
	}{
		"one session at a time":   {want: []Kind{Duplicated}},
		"another session then":    {several: true},
		"clocks that were set":    {clocks: true},
		"both, which excuses too": {several: true, clocks: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			if c.several {
				s.withTwo(2).Ended(ByClient, "moved", at(7))
			}
			m := s.deliver(s.alice, s.bob, 5)
			s.bob.Ended(ByClient, "moved", at(6))
			s.receive(m, s.connect("bob", "n3", 8), 8.5)
			rules := rules()
			rules.Clocks = c.clocks
			v := s.Judge(rules)
			if len(v.Violations) != len(c.want) || len(c.want) > 0 && v.Violations[0].Kind != c.want[0] {
				t.Errorf("violations: %v, want %v", v.Violations, c.want)
			}
		})
	}
}

// What one session got the others that were there all the time have to get, too.
func TestSessionThatMissesAMessageNeedsAFault(t *testing.T) {
	for name, c := range map[string]struct {
		since float64
		fault func(s *story)
		want  []Kind
	}{
		"nothing was done":       {2, func(*story) {}, []Kind{Missed}},
		"it came later":          {5.05, func(*story) {}, nil},
		"its node was severed":   {2, func(s *story) { s.Outage("n3", Severed, at(4.9))(at(6)) }, nil},
		"another node was, long": {2, func(s *story) { s.Outage("n4", Severed, at(30))(at(31)) }, []Kind{Missed}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.withTwo(c.since)
			c.fault(s)
			s.deliver(s.alice, s.bob, 5)
			s.want(c.want...)
		})
	}
}
