package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// around is how much of what happened before and after belongs to a story.
const around = 10 * time.Second

// refusedWithin is the time in which an attempt to connect failed that no story
// tells.
const refusedWithin = 100 * time.Millisecond

// Event is something else that happened, such as a fault.
type Event struct {
	At   time.Time
	Text string
}

// Story tells all that is known about a violation: the message's sendings, receipts
// and receptions, the sessions of sender and receiver about then, the outages of
// nodes, and events. Times are seconds since start.
func (l *Ledger) Story(v Violation, start time.Time, events []Event) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := teller{ledger: l, from: v.At.Add(-around), to: v.At.Add(around)}
	clients := make(map[string]bool)
	for _, m := range []*Message{v.message, v.behind} {
		if m != nil {
			t.message(m)
			clients[m.from], clients[m.to] = true, true
		}
	}
	if v.session != nil {
		clients[v.session.client] = true
	}
	if v.client != "" {
		clients[v.client] = true
	}
	t.add(v.At, "VIOLATION: %s: %s", v.Kind, v.What)
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		t.sessions(client)
	}
	for _, e := range events {
		t.within(e.At, "fault: %s", e.Text)
	}
	return t.tell(start)
}

// teller gathers the lines of a story. A message widens the span that it is about.
type teller struct {
	ledger   *Ledger
	from, to time.Time
	lines    []Event
	outer    []Event // kept if they are within the span
}

func (t *teller) add(at time.Time, format string, args ...any) {
	t.lines = append(t.lines, Event{at, fmt.Sprintf(format, args...)})
}

func (t *teller) within(at time.Time, format string, args ...any) {
	t.outer = append(t.outer, Event{at, fmt.Sprintf(format, args...)})
}

func (t *teller) message(m *Message) {
	name := fmt.Sprintf("%s (%s to %s, place %d)", m.ID(), m.from, m.to, m.place)
	for _, a := range m.attempts {
		t.from, t.to = earlier(t.from, a.at.Add(-around)), later(t.to, a.at.Add(around))
		t.add(a.at, "%s is sent by session %v", name, a.session)
		for _, r := range a.receipts {
			t.add(r.at, "%s has the receipt %s %s", m.ID(), r.outcome, r.reason)
		}
	}
	for _, r := range m.receptions {
		t.add(r.at, "%s is received by session %v", m.ID(), r.session)
	}
}

func (t *teller) sessions(client string) {
	for _, s := range t.ledger.sessions[client] {
		if s.welcomed.IsZero() && !s.ended.IsZero() && s.ended.Sub(s.began) < refusedWithin {
			continue // there may be hundreds
		}
		t.within(s.began, "%s connects to %s", s.client, s.node)
		t.within(s.welcomed, "%s is welcomed: session %v", s.client, s)
		t.within(s.ended, "%s's session %v ends: %s", s.client, s, s.how)
		if s.began.Before(t.from) && !s.welcomed.IsZero() && (s.ended.IsZero() || s.ended.After(t.from)) {
			t.add(s.welcomed, "%s is welcomed: session %v", s.client, s)
		}
	}
}

func (t *teller) tell(start time.Time) string {
	for _, e := range t.outer {
		if !e.At.IsZero() && !e.At.Before(t.from) && !e.At.After(t.to) && !slices.Contains(t.lines, e) {
			t.lines = append(t.lines, e)
		}
	}
	slices.SortStableFunc(t.lines, func(a, b Event) int { return a.At.Compare(b.At) })
	var b strings.Builder
	for _, e := range t.lines {
		fmt.Fprintf(&b, "  %10.4f  %s\n", e.At.Sub(start).Seconds(), e.Text)
	}
	return b.String()
}

func (s *Session) String() string {
	id := s.id
	if id == "" {
		id = "without an ID"
	}
	return fmt.Sprintf("%s of %s on %s", id, s.client, s.node)
}
