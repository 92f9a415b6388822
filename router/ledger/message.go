package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is one message, which may have been sent more than once.
type Message struct {
	number   int
	from, to string
	place    int // among the messages of this pair, from 1
	confirm  bool
	first    time.Time

	attempts   []attempt
	receptions []reception
}

// stray is something that arrived though it was not sent like that.
type stray struct {
	at       time.Time
	session  *Session
	from, to string
	data     string
	message  *Message // whose payload it has; nil: nobody's
}

// attempt is one sending of a message.
type attempt struct {
	session  *Session
	at       time.Time
	receipts []receipt
}

type receipt struct {
	at      time.Time
	session *Session
	id      string
	outcome string
	reason  string
}

type reception struct {
	at      time.Time
	session *Session
	turn    int // among all receptions
}

// Send notes that s is about to send a new message; confirm asks for the
// receiver's own acknowledgement.
func (s *Session) Send(to string, confirm bool, at time.Time) *Message {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	between := pair{s.client, to}
	l.pairs[between]++
	m := &Message{
		number: len(l.messages), from: s.client, to: to, place: l.pairs[between], confirm: confirm, first: at,
		attempts: []attempt{{session: s, at: at}},
	}
	l.messages = append(l.messages, m)
	return m
}

// Repeat notes that s is about to send m once more, under the same ID.
func (s *Session) Repeat(m *Message, at time.Time) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	m.attempts = append(m.attempts, attempt{session: s, at: at})
}

// To is m's receiver.
func (m *Message) To() string { return m.to }

// Confirm reports whether m asks for the receiver's acknowledgement.
func (m *Message) Confirm() bool { return m.confirm }

// ID is the name under which the sender wants m's receipt.
func (m *Message) ID() string { return "m" + strconv.Itoa(m.number) }

// Data is m's payload, a JSON object.
func (m *Message) Data(l *Ledger) string {
	return fmt.Sprintf(`{"run":%q,"m":%d,"from":%q,"to":%q,"place":%d,"at":%d}`,
		l.run, m.number, m.from, m.to, m.place, m.first.UnixMicro())
}

// Receipt notes what s was told about the message that it sent under id.
func (s *Session) Receipt(id, outcome, reason string, at time.Time) {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	r := receipt{at: at, session: s, id: id, outcome: outcome, reason: reason}
	if a := l.lastAttempt(id, s); a != nil {
		a.receipts = append(a.receipts, r)
		return
	}
	l.unasked = append(l.unasked, r)
}

// lastAttempt finds what s sent last under id. The caller holds mu.
func (l *Ledger) lastAttempt(id string, s *Session) *attempt {
	number, err := strconv.Atoi(strings.TrimPrefix(id, "m"))
	if err != nil || number < 0 || number >= len(l.messages) {
		return nil
	}
	attempts := l.messages[number].attempts
	for i := len(attempts) - 1; i >= 0; i-- {
		if attempts[i].session == s {
			return &attempts[i]
		}
	}
	return nil
}

// Received notes what arrived at s, with what the node says of sender and receiver.
func (s *Session) Received(from, to string, data []byte, at time.Time) {
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.sentAs(string(data))
	if m == nil || m.from != from || m.to != to || m.to != s.client {
		l.strays = append(l.strays, stray{at: at, session: s, from: from, to: to, data: string(data), message: m})
		return
	}
	l.turns++
	m.receptions = append(m.receptions, reception{at: at, session: s, turn: l.turns})
}

// sentAs finds the message whose payload is data, to the byte. The caller holds mu.
func (l *Ledger) sentAs(data string) *Message {
	_, rest, _ := strings.Cut(data, `"m":`)
	digits, _, _ := strings.Cut(rest, ",")
	number, err := strconv.Atoi(digits)
	if err != nil || number < 0 || number >= len(l.messages) || l.messages[number].Data(l) != data {
		return nil
	}
	return l.messages[number]
}

// Answered tells when a sender first knew the truth about a client whose node was
// killed: by a receipt offline, or by one that says delivered or confirmed of a
// message that arrived at a session begun after the kill. It looks at messages that
// were sent after the kill.
func (l *Ledger) Answered(messages []*Message, killed time.Time) (first time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		receipts := m.attempts[0].receipts
		if m.first.Before(killed) || len(receipts) == 0 || !m.answers(receipts[0].outcome, killed) {
			continue
		}
		if r := receipts[0]; !ok || r.at.Before(first) {
			first, ok = r.at, true
		}
	}
	return first, ok
}

func (m *Message) answers(outcome string, killed time.Time) bool {
	switch outcome {
	case "offline":
		return true
	case "delivered", "confirmed":
		return slices.ContainsFunc(m.receptions, func(r reception) bool { return r.session.began.After(killed) })
	}
	return false
}

// Arrived reports whether m was received and its sender knows.
func (l *Ledger) Arrived(m *Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := m.attempts[len(m.attempts)-1]
	return len(m.receptions) > 0 && len(last.receipts) > 0 && isDelivered(last.receipts[0].outcome)
}
