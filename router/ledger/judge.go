package ledger

import (
	"fmt"
	"slices"
	"time"
)

// judge applies the rules. It holds the ledger's lock.
type judge struct {
	*lives
	ledger  *Ledger
	verdict *Verdict
}

// Judge tells what is wrong with everything that was written down. It is called
// when nothing is on its way any more.
func (l *Ledger) Judge(rules Rules) *Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := judge{
		lives:  newLives(rules, l),
		ledger: l,
		verdict: &Verdict{
			Messages: len(l.messages),
			Receipts: make(map[string]int), Ends: make(map[string]int), Excused: make(map[Excuse]int),
		},
	}
	j.sessions()
	for _, m := range l.messages {
		j.verdict.Repeats += len(m.attempts) - 1
		j.verdict.Received += len(m.receptions)
		j.receptions(m)
		j.missed(m)
		for i := range m.attempts {
			j.attempt(m, &m.attempts[i])
		}
	}
	j.order()
	j.strangers()
	for _, r := range j.ledger.recoveries {
		j.recovery(r)
	}
	slices.SortStableFunc(j.verdict.Violations, func(a, b Violation) int { return a.At.Compare(b.At) })
	return j.verdict
}

// sessions counts them, and finds those that a node ended. It may do that when it
// is killed; sessions don't depend on anything else that is done to it.
func (j *judge) sessions() {
	for _, list := range j.byOwner {
		for _, s := range list {
			if s.welcomed.IsZero() {
				j.verdict.NoSession++
				continue
			}
			j.verdict.Sessions++
			j.verdict.Ends[s.how]++
			if s.end == ByNode && !j.killed(s) {
				j.blame(Violation{Kind: Expelled, At: s.ended, What: "its node lives and ended it: " + s.how, session: s})
			}
		}
	}
}

func (j *judge) blame(v Violation) { j.verdict.Violations = append(j.verdict.Violations, v) }

// receptions finds what arrived more than once. A message that was sent again may
// arrive at two sessions, if the nodes that remembered it are gone; at one session
// it may not. Every session that a client has at the time may get what is sent to it, but
// none that began when another had got it.
func (j *judge) receptions(m *Message) {
	for i, r := range m.receptions {
		before := m.receptions[:i]
		same := slices.ContainsFunc(before, func(other reception) bool { return other.session == r.session })
		switch {
		case same:
			j.blame(Violation{Kind: Duplicated, At: r.at, What: "twice at one session", message: m, session: r.session})
		case len(m.attempts) > 1 || !slices.ContainsFunc(before, func(other reception) bool { return r.session.follows(other) }):
		case j.severalThen(m):
			j.verdict.Excused[SeveralSessions]++
		case j.rules.Clocks:
			j.verdict.Excused[ClocksDiffer]++
		default:
			j.blame(Violation{Kind: Duplicated, At: r.at, What: "at two sessions, sent once", message: m, session: r.session})
		}
	}
}

// missed finds the sessions that did not get a message which another one got. Of one that was
// sent again the first sending may have come before a session.
func (j *judge) missed(m *Message) {
	if len(m.receptions) == 0 || len(m.attempts) > 1 {
		return
	}
	a := m.attempts[0]
	due := span{a.at, a.at.Add(j.rules.Deadline)}
	for _, s := range j.byOwner[m.to] {
		got := slices.ContainsFunc(m.receptions, func(r reception) bool { return r.session == s })
		if got || s.welcomed.IsZero() || !s.welcomed.Before(a.at) || !j.outlived(s, due.to) {
			continue
		}
		if j.disturbed(a.session, m.to, due) || j.rules.Clocks {
			j.verdict.Excused[Disturbed]++
			continue
		}
		j.blame(Violation{Kind: Missed, At: due.to, What: "another session got it", message: m, session: s})
	}
}

// severalThen reports whether the client had another session when it first got m, as far as
// that one's node could know: then it may be owed m there, and whatever session takes that
// one's place is taken for it.
func (j *judge) severalThen(m *Message) bool {
	first := m.receptions[0]
	return slices.ContainsFunc(j.byOwner[m.to], func(s *Session) bool {
		return s != first.session && !s.welcomed.IsZero() && s.began.Before(first.at) && !j.lingers[s].Before(first.at)
	})
}

// follows reports whether s began when another session had got a message, or had ended.
func (s *Session) follows(other reception) bool {
	return s.began.After(other.at) || !other.session.ended.IsZero() && !s.began.Before(other.session.ended)
}

// attempt judges the receipts of one sending.
func (j *judge) attempt(m *Message, a *attempt) {
	if len(a.receipts) == 0 {
		j.unanswered(m, a)
		return
	}
	for _, r := range a.receipts[1:] {
		j.blame(Violation{
			Kind: WronglyReceipted, At: r.at, message: m, session: r.session,
			What: fmt.Sprintf("a second receipt, %s after %s", r.outcome, a.receipts[0].outcome),
		})
	}
	r := a.receipts[0]
	j.verdict.Receipts[r.outcome]++
	if took := r.at.Sub(a.at) - j.standstill(a.session.node, a.at, r.at); took > j.rules.Deadline+j.rules.Slack {
		j.blame(Violation{Kind: Unanswered, At: r.at, What: "answered late", message: m, session: a.session})
	}
	switch r.outcome {
	case "timeout":
		j.grounds(m, a, r)
	case "confirmed":
		if !m.confirm {
			j.wrong(m, r, "confirmed, which was not asked for")
		}
		if len(m.receptions) == 0 {
			j.blame(Violation{Kind: Lost, At: r.at, What: "confirmed, never received", message: m})
		}
	case "delivered":
		j.delivered(m, a, r)
	case "offline":
		j.offline(m, a, r)
	case "overloaded":
		j.notDelivered(m, r)
		j.grounds(m, a, r)
	case "rejected":
		j.notDelivered(m, r)
	default:
		j.wrong(m, r, "an unknown outcome: "+r.outcome)
	}
}

func (j *judge) wrong(m *Message, r receipt, what string) {
	j.blame(Violation{Kind: WronglyReceipted, At: r.at, What: what, message: m, session: r.session})
}

func (j *judge) unanswered(m *Message, a *attempt) {
	due := j.hasRun(a.session.node, a.at, j.rules.Deadline+j.rules.Slack)
	if !j.end(a.session).After(due) {
		j.verdict.Excused[SenderLeft]++
		return
	}
	j.blame(Violation{Kind: Unanswered, At: due, What: "no receipt", message: m, session: a.session})
}

// grounds judges a receipt that says that the message could not be delivered in
// time, or found no room.
func (j *judge) grounds(m *Message, a *attempt, r receipt) {
	if j.disturbed(a.session, m.to, span{a.at, r.at}) {
		j.verdict.Excused[Disturbed]++
		return
	}
	j.blame(Violation{Kind: Groundless, At: r.at, What: r.outcome + ", though nothing was done", message: m, session: a.session})
}

// delivered judges a receipt that says so.
func (j *judge) delivered(m *Message, a *attempt, r receipt) {
	possible := j.possible(m.to, m.first, r.at)
	left := slices.ContainsFunc(possible, func(s *Session) bool { return !j.outlived(s, r.at) })
	if left {
		j.verdict.Excusable++
	}
	switch {
	case len(m.receptions) > 0:
		return
	case len(possible) == 0:
		j.wrong(m, r, "delivered, but its receiver had no session")
		return
	case left:
		j.verdict.Excused[ReceiverLeft]++
		return
	}
	j.blame(Violation{Kind: Lost, At: r.at, What: "delivered, never received", message: m, session: possible[0]})
}

// offline judges a receipt that says so.
func (j *judge) offline(m *Message, a *attempt, r receipt) {
	j.notDelivered(m, r)
	s := j.throughout(m.to, a.at, r.at)
	switch {
	case s == nil:
	case j.lapsed(s.node, a.at, r.at):
		j.verdict.Excused[OwnerLapsed]++
	default:
		j.blame(Violation{Kind: WronglyReceipted, At: r.at, What: "offline, though its receiver was connected", message: m, session: s})
	}
}

// notDelivered judges a receipt that says that the message did not arrive. Of one
// that was sent again another attempt may have.
func (j *judge) notDelivered(m *Message, r receipt) {
	if len(m.receptions) > 0 && len(m.attempts) == 1 {
		j.wrong(m, r, r.outcome+", but it was received")
	}
}

// order finds what arrived after something that the same session had sent to the
// same client later, at the same session or at one that was before it. Sessions that a
// client has at the same time may be behind each other. What was sent again has no place
// of its own.
func (j *judge) order() {
	type way struct {
		from *Session
		to   string
	}
	type arrival struct {
		message *Message
		reception
	}
	ways := make(map[way][]arrival)
	for _, m := range j.ledger.messages {
		if len(m.attempts) > 1 {
			continue
		}
		w := way{m.attempts[0].session, m.to}
		for i, r := range m.receptions {
			if !slices.ContainsFunc(m.receptions[:i], r.isDuplicate) {
				ways[w] = append(ways[w], arrival{m, r})
			}
		}
	}
	for _, list := range ways {
		slices.SortStableFunc(list, func(a, b arrival) int { return a.turn - b.turn })
		var last []arrival // the one with the highest place, of each session
		for _, a := range list {
			passed := slices.IndexFunc(last, func(b arrival) bool {
				return a.message.place < b.message.place && (a.session == b.session || a.session.follows(b.reception))
			})
			if passed >= 0 {
				j.blame(Violation{
					Kind: Reordered, At: a.at, message: a.message, session: a.session, behind: last[passed].message,
					What: fmt.Sprintf("place %d after place %d", a.message.place, last[passed].message.place),
				})
				continue
			}
			switch i := slices.IndexFunc(last, func(b arrival) bool { return a.session == b.session }); {
			case i < 0:
				last = append(last, a)
			case a.message.place > last[i].message.place:
				last[i] = a
			}
		}
	}
}

// isDuplicate reports whether other is the reception of the same message at a session that
// may not have got it once more, which is a violation of another kind.
func (r reception) isDuplicate(other reception) bool {
	return r.session == other.session || r.session.follows(other)
}

// strangers judges what belongs to nothing that was sent.
func (j *judge) strangers() {
	for _, s := range j.ledger.strays {
		what := "not as anybody sent it: " + s.data
		if s.message != nil {
			what = fmt.Sprintf("from %s to %s arrived at %s as from %s to %s", s.message.from, s.message.to, s.session.client, s.from, s.to)
		}
		j.blame(Violation{Kind: Misrouted, At: s.at, What: what, message: s.message, session: s.session})
	}
	for _, r := range j.ledger.unasked {
		j.blame(Violation{
			Kind: WronglyReceipted, At: r.at, session: r.session,
			What: fmt.Sprintf("receipt %s for %q, which this session did not send", r.outcome, r.id),
		})
	}
}

// Unreached notes that to could not be reached by m after all faults were over.
func (v *Verdict) Unreached(m *Message, what string, at time.Time) {
	v.Violations = append(v.Violations, Violation{Kind: Unreached, At: at, What: what, message: m})
}
