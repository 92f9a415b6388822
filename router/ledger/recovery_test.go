package ledger

import (
	"testing"
	"time"
)

// Bob's node n2 is killed at 20, and alice, on n1, asks for him.
func TestOnlyAFaultExcusesALateAnswerAboutAKilledNode(t *testing.T) {
	for name, c := range map[string]struct {
		took  float64
		known bool
		fault func(s *story)
		want  []Kind
	}{
		"at once":                        {0.9, true, func(*story) {}, nil},
		"late":                           {1.1, true, func(*story) {}, []Kind{Late}},
		"never":                          {0.9, false, func(*story) {}, []Kind{Late}},
		"the asker's node stopped":       {3, true, func(s *story) { s.Outage("n1", Stopped, at(21))(at(22)) }, nil},
		"it had stopped long before":     {3, true, func(s *story) { s.Outage("n1", Stopped, at(16))(at(17)) }, []Kind{Late}},
		"the asker's node was a new one": {3, true, func(s *story) { s.Outage("n1", Killed, at(19)) }, nil},
		"another node stopped":           {3, true, func(s *story) { s.Outage("n3", Stopped, at(19))(at(24)) }, []Kind{Late}},
		"another node was killed":        {3, true, func(s *story) { s.Outage("n3", Killed, at(19)) }, []Kind{Late}},
		"Redis was away":                 {3, true, func(s *story) { s.Outage("n3", Away, at(20))(at(21)) }, nil},
		"he had left a node that stood still": {3, true, func(s *story) {
			s.Outage("n3", Stopped, at(11))(at(25))
			s.moves("n3", 10, 12, 12.5)
		}, nil},
		"he had left it before it stood still": {3, true, func(s *story) {
			s.moves("n3", 10, 12, 12.5)
			s.deliver(s.alice, s.bob, 13)
			s.Outage("n3", Stopped, at(14))(at(25))
		}, []Kind{Late}},
		"he had, and the asker's node may not know": {3, true, func(s *story) {
			s.bob.Ended(ByClient, "moved", at(9))
			there := s.connect("bob", "n3", 10)
			s.deliver(s.alice, there, 11)
			there.Ended(ByClient, "moved", at(12))
			s.bob = s.connect("bob", "n2", 12.5)
			s.Outage("n3", Stopped, at(14))(at(25))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			c.fault(s)
			s.Outage("n2", Killed, at(20))
			s.bob.Ended(ByNode, "EOF", at(20))
			s.Recovered(Recovery{
				Asker: "n1", Client: "bob", Killed: at(20), Took: time.Duration(c.took * float64(time.Second)), Known: c.known,
			})
			late := 0
			if !c.known || c.took > 1 {
				late = 1
			}
			if v := s.want(c.want...); v.Excused[Delayed] != late-len(c.want) {
				t.Errorf("excused %v", v.Excused)
			}
		})
	}
}

// moves has bob visit another node from one time to another, and come back to n2.
func (s *story) moves(node string, from, to, back float64) {
	s.bob.Ended(ByClient, "moved", at(from-0.2))
	s.connect("bob", node, from).Ended(ByClient, "moved", at(to))
	s.bob = s.connect("bob", "n2", back)
}
