package ledger

import "testing"

func TestFailureNeedsAFault(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(s *story)
		want  []Kind
	}{
		"nothing was done":           {func(*story) {}, []Kind{Groundless}},
		"the sender's node stopped":  {func(s *story) { s.Outage("n1", Stopped, at(21))(at(22)) }, nil},
		"the receiver's was severed": {func(s *story) { s.Outage("n2", Severed, at(17))(at(19)) }, nil},
		"it was, long before":        {func(s *story) { s.Outage("n2", Severed, at(16))(at(17)) }, []Kind{Groundless}},
		"it was, afterwards":         {func(s *story) { s.Outage("n2", Severed, at(26))(at(27)) }, []Kind{Groundless}},
		"another node was killed":    {func(s *story) { s.Outage("n3", Killed, at(21)) }, []Kind{Groundless}},
		"Redis was away":             {func(s *story) { s.Outage("n3", Away, at(17))(at(18.5)) }, nil},
		"Redis was away long before": {func(s *story) { s.Outage("n3", Away, at(16))(at(17)) }, []Kind{Groundless}},
		"a node that has to verify after that was frozen": {func(s *story) {
			s.Outage("n3", Stopped, at(11))(at(14))
			s.Outage("n3", Away, at(10))(at(10.5))
		}, nil},
		"one that has not was": {func(s *story) { s.Outage("n3", Stopped, at(11))(at(24)) }, []Kind{Groundless}},
		"the receiver has left a severed node": {func(s *story) {
			s.Outage("n2", Severed, at(17))(at(19))
			s.bob.Ended(ByClient, "moved", at(17.5))
			s.connect("bob", "n3", 18)
		}, nil},
		"the receiver has left it before": {func(s *story) {
			s.bob.Ended(ByClient, "moved", at(16))
			s.deliver(s.alice, s.connect("bob", "n3", 16.2), 16.5)
			s.Outage("n2", Severed, at(17))(at(19))
		}, []Kind{Groundless}},
		"it has, and the sender's node may not know": {func(s *story) {
			s.deliver(s.alice, s.bob, 15)
			s.bob.Ended(ByClient, "moved", at(16))
			s.connect("bob", "n3", 16.2)
			s.Outage("n2", Severed, at(17))(at(19))
		}, nil},
		"it left it as it got something": {func(s *story) {
			m := s.alice.Send("bob", false, at(14.8))
			s.receive(m, s.bob, 14.9)
			s.bob.Ended(ByClient, "moved", at(15))
			s.alice.Receipt(m.ID(), "delivered", "", at(15.1))
			s.connect("bob", "n3", 15.2)
			s.Outage("n2", Severed, at(17))(at(19))
		}, nil},
		"it left it before it got something": {func(s *story) {
			m := s.alice.Send("bob", false, at(14.8))
			s.bob.Ended(ByClient, "moved", at(14.9))
			s.alice.Receipt(m.ID(), "delivered", "", at(15))
			s.connect("bob", "n3", 15.2)
			s.Outage("n2", Severed, at(17))(at(19))
		}, nil},
		"it has, and the sender's node is a new one": {func(s *story) {
			s.deliver(s.alice, s.bob, 10)
			s.bob.Ended(ByClient, "moved", at(11))
			s.Outage("n1", Killed, at(12))
			s.alice.Ended(ByNode, "EOF", at(12))
			s.alice = s.connect("alice", "n1", 13)
			s.connect("bob", "n3", 11.2)
			s.Outage("n2", Severed, at(17))(at(19))
		}, []Kind{Groundless}},
		"the receiver moves while any node is frozen": {func(s *story) {
			s.Outage("n4", Stopped, at(19))(at(24))
			s.bob.Ended(ByClient, "moved", at(21))
			s.connect("bob", "n3", 22)
		}, nil},
	} {
		for _, outcome := range []string{"timeout", "overloaded"} {
			t.Run(name+"/"+outcome, func(t *testing.T) {
				s := newStory(t)
				c.fault(s)
				m := s.alice.Send("bob", false, at(20))
				s.alice.Receipt(m.ID(), outcome, "", at(25))
				if v := s.want(c.want...); v.Excused[Disturbed] != 1-len(c.want) {
					t.Errorf("excused %v", v.Excused)
				}
			})
		}
	}
}

func TestOnlyADeadNodeEndsSessions(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(s *story)
		want  []Kind
	}{
		"nothing was done":           {func(*story) {}, []Kind{Expelled}},
		"it was killed":              {func(s *story) { s.Outage("n2", Killed, at(4)) }, nil},
		"it was killed before":       {func(s *story) { s.Outage("n2", Killed, at(0.5)) }, []Kind{Expelled}},
		"another one was":            {func(s *story) { s.Outage("n1", Killed, at(4)) }, []Kind{Expelled}},
		"Redis was away":             {func(s *story) { s.Outage("n2", Away, at(2))(at(4)) }, []Kind{Expelled}},
		"it was cut off for an hour": {func(s *story) { s.Outage("n2", Severed, at(2))(at(3602)) }, []Kind{Expelled}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			c.fault(s)
			s.bob.Ended(ByNode, "bye: lease_lost", at(5))
			s.want(c.want...)
		})
	}
}
