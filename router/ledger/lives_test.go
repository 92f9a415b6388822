package ledger

import "testing"

func TestOnlyALongOutageExcusesOffline(t *testing.T) {
	for name, c := range map[string]struct {
		kind OutageKind
		from float64
		want []Kind
	}{
		"stopped for a second":       {Stopped, 9, []Kind{WronglyReceipted}},
		"stopped for long enough":    {Stopped, 5, nil},
		"severed for long enough":    {Severed, 5, nil},
		"stopped long before":        {Stopped, -20, []Kind{WronglyReceipted}},
		"stopped just before it was": {Stopped, 4.5, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.Outage("n2", c.kind, at(c.from))(at(min(10, c.from+5)))
			m := s.alice.Send("bob", false, at(9.5))
			s.alice.Receipt(m.ID(), "offline", "", at(10.2))
			s.want(c.want...)
		})
	}
}

func TestNodeHasToFindOutThatItsConnectionsAreDead(t *testing.T) {
	for kind, want := range map[OutageKind][]Kind{Severed: {WronglyReceipted}, Swallowed: nil} {
		s := newStory(t)
		s.Outage("n2", kind, at(6))(at(9.5))
		m := s.alice.Send("bob", false, at(9.8))
		s.alice.Receipt(m.ID(), "offline", "", at(10.2))
		s.want(want...)
	}
}

func TestOutagesThatFollowEachOtherCloselyCountAsOne(t *testing.T) {
	for _, c := range []struct {
		gap  float64
		want []Kind
	}{{0.5, nil}, {1.5, []Kind{WronglyReceipted}}} {
		s := newStory(t)
		s.Outage("n2", Stopped, at(5))(at(8))
		s.Outage("n2", Severed, at(8+c.gap))(at(10))
		m := s.alice.Send("bob", false, at(9.8))
		s.alice.Receipt(m.ID(), "offline", "", at(10.2))
		s.want(c.want...)
	}
}

func TestRedisThatIsAwayExcusesOnlyTogetherWithAnOutageOfTheNode(t *testing.T) {
	for _, severed := range []bool{false, true} {
		s := newStory(t)
		s.Outage("n2", Away, at(2))(at(9))
		if severed {
			s.Outage("n2", Severed, at(9.1))(at(9.6))
		}
		m := s.alice.Send("bob", false, at(9.4))
		s.alice.Receipt(m.ID(), "offline", "", at(9.5))
		if severed {
			s.want()
		} else {
			s.want(WronglyReceipted)
		}
	}
}
