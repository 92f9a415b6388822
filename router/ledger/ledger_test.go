package ledger

import (
	"strings"
	"testing"
	"time"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// at is a moment, in seconds.
func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func rules() Rules {
	return Rules{
		Deadline: 5 * time.Second, Slack: time.Second, Notice: 500 * time.Millisecond, Recovery: time.Second,
		Lapse: 4 * time.Second, Redial: time.Second, Beat: time.Second, Return: 2 * time.Second,
	}
}

// story is a history under construction: alice on n1 and bob on n2 are connected
// from the first second on.
type story struct {
	*Ledger
	t          *testing.T
	alice, bob *Session
}

func newStory(t *testing.T) *story {
	s := &story{Ledger: New("test"), t: t}
	s.alice, s.bob = s.connect("alice", "n1", 1), s.connect("bob", "n2", 1)
	return s
}

func (s *story) connect(client, node string, seconds float64) *Session {
	session := s.Dial(client, node, at(seconds-0.1))
	session.Welcomed(client+"'s", at(seconds))
	return session
}

func (s *story) receive(m *Message, by *Session, seconds float64) {
	by.Received(m.from, m.to, []byte(m.Data(s.Ledger)), at(seconds))
}

// deliver is a message that takes its way without a fault.
func (s *story) deliver(from, to *Session, seconds float64) *Message {
	m := from.Send(to.client, false, at(seconds))
	s.receive(m, to, seconds+0.1)
	from.Receipt(m.ID(), "delivered", "", at(seconds+0.2))
	return m
}

func (s *story) judge() *Verdict { return s.Judge(rules()) }

// want wants exactly these violations, and that their stories can be told.
func (s *story) want(kinds ...Kind) *Verdict {
	s.t.Helper()
	v := s.judge()
	var found []Kind
	for _, violation := range v.Violations {
		found = append(found, violation.Kind)
		if told := s.Story(violation, start, nil); !strings.Contains(told, violation.What) {
			s.t.Errorf("the story does not tell %q:\n%s", violation.What, told)
		}
	}
	if len(found) != len(kinds) {
		s.t.Fatalf("found %q, want %q", found, kinds)
	}
	for i := range kinds {
		if found[i] != kinds[i] {
			s.t.Fatalf("found %q, want %q", found, kinds)
		}
	}
	return v
}

func TestNothingIsWrongWithWhatIsRight(t *testing.T) {
	s := newStory(t)
	s.deliver(s.alice, s.bob, 2)
	s.deliver(s.bob, s.alice, 2)
	s.deliver(s.alice, s.bob, 3)
	m := s.alice.Send("nobody", false, at(4))
	s.alice.Receipt(m.ID(), "offline", "", at(4.1))
	v := s.want()
	if v.Messages != 4 || v.Received != 3 || v.Sessions != 2 || v.Receipts["delivered"] != 3 || v.Receipts["offline"] != 1 {
		t.Errorf("counted %+v", v)
	}
}

func TestLost(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(m.ID(), "delivered", "", at(2.2))
	s.want(Lost)
}

func TestDeliveredToASessionThatEndedIsExcused(t *testing.T) {
	for name, end := range map[string]func(s *story){
		"its client left":  func(s *story) { s.bob.Ended(ByClient, "moved", at(2.1)) },
		"its node is dead": func(s *story) { s.Outage("n2", Killed, at(2.1)); s.bob.Ended(ByNode, "EOF", at(9)) },
		"its client left while its node stood still": func(s *story) {
			resumed := s.Outage("n2", Stopped, at(1.1))
			s.bob.Ended(ByClient, "moved", at(1.2))
			resumed(at(3))
		},
		"its client left just before its node stood still": func(s *story) {
			s.bob.Ended(ByClient, "moved", at(1.1))
			s.Outage("n2", Stopped, at(1.2))(at(1.9))
		},
		"its client left after its node had stood still": func(s *story) {
			s.Outage("n2", Stopped, at(2.3))(at(3))
			s.bob.Ended(ByClient, "moved", at(3.1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			end(s)
			m := s.alice.Send("bob", false, at(2))
			s.alice.Receipt(m.ID(), "delivered", "", at(2.2))
			if v := s.want(); v.Excused[ReceiverLeft] != 1 {
				t.Errorf("excused %v", v.Excused)
			}
		})
	}
}

func TestNoEndExcusesLongBeforeOrLongAfter(t *testing.T) {
	for name, end := range map[string]func(s *story){
		"its client left before":        func(s *story) { s.bob.Ended(ByClient, "moved", at(4.4)) },
		"its client left afterwards":    func(s *story) { s.connect("bob", "n2", 4).Ended(ByClient, "moved", at(5.8)) },
		"its node was killed before":    func(s *story) { s.Outage("n2", Killed, at(4.4)); s.bob.Ended(ByNode, "EOF", at(5)) },
		"nobody listened":               func(s *story) { s.Dial("bob", "n3", at(5)).Ended(Refused, "nobody listens", at(5.1)) },
		"its client left a frozen node": func(s *story) { s.Outage("n2", Stopped, at(1.1))(at(4.4)); s.bob.Ended(ByClient, "moved", at(2)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			end(s)
			s.connect("bob", "n1", 4.5)
			m := s.alice.Send("bob", false, at(5))
			s.alice.Receipt(m.ID(), "delivered", "", at(5.2))
			s.want(Lost)
		})
	}
}

func TestAnAttemptThatWasGivenUpExcuses(t *testing.T) {
	s := newStory(t)
	s.Dial("bob", "n3", at(4.9)).Ended(ByClient, "no answer in time", at(5.1))
	m := s.alice.Send("bob", false, at(5))
	s.alice.Receipt(m.ID(), "delivered", "", at(5.2))
	if v := s.want(); v.Excusable != 1 || v.Excused[ReceiverLeft] != 1 {
		t.Errorf("%d excusable, excused %v", v.Excusable, v.Excused)
	}
}

func TestConfirmedHasNoExcuse(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", true, at(2))
	s.bob.Ended(ByClient, "moved", at(2.1))
	s.alice.Receipt(m.ID(), "confirmed", "", at(2.2))
	s.want(Lost)
}

func TestConfirmedUnasked(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.receive(m, s.bob, 2.1)
	s.alice.Receipt(m.ID(), "confirmed", "", at(2.2))
	s.want(WronglyReceipted)
}

func TestDeliveredToNobody(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("carol", false, at(2))
	s.alice.Receipt(m.ID(), "delivered", "", at(2.2))
	s.want(WronglyReceipted)
}

func TestDuplicatedAtOneSession(t *testing.T) {
	s := newStory(t)
	m := s.deliver(s.alice, s.bob, 2)
	s.receive(m, s.bob, 3)
	s.want(Duplicated)
}

func TestDuplicatedAtTheNextSession(t *testing.T) {
	s := newStory(t)
	m := s.deliver(s.alice, s.bob, 2)
	s.bob.Ended(ByClient, "moved", at(3))
	s.receive(m, s.connect("bob", "n3", 4), 4.1)
	s.want(Duplicated)
}

func TestRepeatedMessageMayArriveAtTwoSessionsButNotTwiceAtOne(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.receive(m, s.bob, 2.1)
	s.alice.Ended(ByClient, "moved", at(2.2))
	s.bob.Ended(ByClient, "moved", at(2.3))
	again, bob := s.connect("alice", "n2", 3), s.connect("bob", "n1", 3)
	again.Repeat(m, at(3.1))
	s.receive(m, bob, 3.2)
	again.Receipt(m.ID(), "delivered", "", at(3.3))
	if v := s.want(); v.Repeats != 1 {
		t.Errorf("%d repeats", v.Repeats)
	}
	s.receive(m, bob, 3.4)
	s.want(Duplicated)
}

func TestReordered(t *testing.T) {
	s := newStory(t)
	first, second := s.alice.Send("bob", false, at(2)), s.alice.Send("bob", false, at(2.01))
	s.receive(second, s.bob, 2.1)
	s.receive(first, s.bob, 2.1)
	s.alice.Receipt(first.ID(), "delivered", "", at(2.2))
	s.alice.Receipt(second.ID(), "delivered", "", at(2.2))
	s.want(Reordered)
}

func TestOrderIsPromisedToOneSessionOfTheSenderOnly(t *testing.T) {
	s := newStory(t)
	first := s.alice.Send("bob", false, at(2))
	s.alice.Ended(ByClient, "moved", at(2.1))
	second := s.connect("alice", "n3", 2.5).Send("bob", false, at(3))
	s.receive(second, s.bob, 3.1)
	s.receive(first, s.bob, 3.2)
	second.attempts[0].session.Receipt(second.ID(), "delivered", "", at(3.3))
	s.want()
}

func TestMisrouted(t *testing.T) {
	s := newStory(t)
	carol := s.connect("carol", "n1", 1)
	m := s.alice.Send("bob", false, at(2))
	s.receive(m, carol, 2.1)
	s.alice.Ended(ByClient, "moved", at(2.2))
	s.want(Misrouted)
}

func TestAlteredAndInventedMessagesAreMisrouted(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.bob.Received("alice", "bob", []byte(m.Data(s.Ledger)+" "), at(2.1))
	s.bob.Received("alice", "bob", []byte(`{"run":"other","m":0,"from":"alice"}`), at(2.1))
	s.bob.Received("mallory", "bob", []byte(m.Data(s.Ledger)), at(2.1))
	s.alice.Ended(ByClient, "moved", at(2.2))
	s.want(Misrouted, Misrouted, Misrouted)
}

func TestOfflineOfAConnectedClient(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(m.ID(), "offline", "", at(2.2))
	s.want(WronglyReceipted)
}

func TestOfflineIsRightWhileAClientMoves(t *testing.T) {
	s := newStory(t)
	s.bob.Ended(ByClient, "moved", at(2.1))
	m := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(m.ID(), "offline", "", at(2.2))
	s.connect("bob", "n1", 2.15)
	m = s.alice.Send("bob", false, at(2.12))
	s.alice.Receipt(m.ID(), "offline", "", at(2.3))
	s.want()
}

func TestOfflineIsRightAboutAKilledNode(t *testing.T) {
	s := newStory(t)
	s.Outage("n2", Killed, at(2.1))
	m := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(m.ID(), "offline", "", at(2.2))
	s.bob.Ended(ByNode, "EOF", at(4))
	s.want()
}

func TestNotDeliveredOfWhatArrived(t *testing.T) {
	for _, outcome := range []string{"offline", "overloaded", "rejected"} {
		s := newStory(t)
		s.Outage("n1", Stopped, at(1.9))(at(1.95))
		m := s.alice.Send("bob", false, at(2))
		s.receive(m, s.bob, 2.1)
		s.bob.Ended(ByClient, "moved", at(2.15))
		s.alice.Receipt(m.ID(), outcome, "", at(2.2))
		s.want(WronglyReceipted)
	}
}

func TestSecondReceipt(t *testing.T) {
	s := newStory(t)
	m := s.deliver(s.alice, s.bob, 2)
	s.alice.Receipt(m.ID(), "timeout", "", at(3))
	s.want(WronglyReceipted)
}

func TestReceiptForNothing(t *testing.T) {
	s := newStory(t)
	m := s.deliver(s.alice, s.bob, 2)
	s.bob.Receipt(m.ID(), "delivered", "", at(3))
	s.alice.Receipt("m17", "delivered", "", at(3))
	s.alice.Receipt("x", "delivered", "", at(3))
	s.want(WronglyReceipted, WronglyReceipted, WronglyReceipted)
}

func TestUnknownOutcome(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(m.ID(), "perhaps", "", at(3))
	s.want(WronglyReceipted)
}

func TestUnanswered(t *testing.T) {
	s := newStory(t)
	s.alice.Send("bob", false, at(2))
	s.want(Unanswered)
}

func TestAnsweredLate(t *testing.T) {
	s := newStory(t)
	m := s.alice.Send("bob", false, at(2))
	s.receive(m, s.bob, 2.1)
	s.alice.Receipt(m.ID(), "delivered", "", at(8.1))
	s.want(Unanswered)
}

func TestSenderThatLeftIsOwedNoAnswer(t *testing.T) {
	s := newStory(t)
	s.alice.Send("bob", false, at(2))
	s.alice.Ended(ByClient, "moved", at(6))
	if v := s.want(); v.Excused[SenderLeft] != 1 {
		t.Errorf("excused %v", v.Excused)
	}
}

// A second stop that begins just before a message's deadline lengthens it by all of its
// time.
func TestNodeThatStopsAgainAnswersLater(t *testing.T) {
	s := newStory(t)
	s.Outage("n1", Stopped, at(2))(at(4))
	s.Outage("n1", Stopped, at(8.9))(at(20))
	s.alice.Send("bob", false, at(2))
	s.alice.Ended(ByClient, "moved", at(19.5))
	if v := s.want(); v.Excused[SenderLeft] != 1 {
		t.Errorf("excused %v", v.Excused)
	}
}

func TestStoppedNodeAnswersLater(t *testing.T) {
	s := newStory(t)
	resumed := s.Outage("n1", Stopped, at(3))
	resumed(at(9))
	late := s.alice.Send("bob", false, at(2))
	s.alice.Receipt(late.ID(), "timeout", "", at(13))
	s.want()
	s.alice.Receipt(s.alice.Send("bob", false, at(2)).ID(), "timeout", "", at(14.5))
	s.want(Unanswered)
}
