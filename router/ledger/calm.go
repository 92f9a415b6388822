package ledger

import (
	"slices"
	"time"
)

// span is a time from one moment to another.
type span struct{ from, to time.Time }

func (s span) meets(other span) bool { return !s.from.After(other.to) && !other.from.After(s.to) }

// felt is the time in which an outage may be felt.
func (v *lives) felt(o *Outage) span { return span{o.From, o.until().Add(v.rules.Return)} }

// findUnsettled finds the spans in which the registry may not have been settled:
// those when Redis was away, and until what was done to any node meanwhile is over,
// because every node has to verify its leases or to be known as dead.
func (v *lives) findUnsettled() (list []span) {
	var all []*Outage
	for _, outages := range v.outages {
		all = append(all, outages...)
	}
	slices.SortStableFunc(all, func(a, b *Outage) int { return a.From.Compare(b.From) })
	for i, o := range all {
		last := len(list) - 1
		switch within := last >= 0 && list[last].meets(span{o.From, o.From}); {
		case o.Kind == Away && !within:
			list = append(list, v.felt(o))
			for _, before := range all[:i] {
				v.prolong(&list[last+1], before)
			}
		case within:
			v.prolong(&list[last], o)
		}
	}
	return list
}

// prolong lets a span in which nothing is settled last until o is over: a node that
// failed has to come back, or its lease to end.
func (v *lives) prolong(s *span, o *Outage) {
	if !o.until().Before(s.from) && !o.From.After(s.to) {
		s.to = later(s.to, v.felt(o).to.Add(v.rules.Lapse))
	}
}

// relation is that of a node to a client to whom its own clients send.
type relation struct{ node, to string }

// findDelivered finds until when a client was where nodes had learned that it was.
func findDelivered(messages []*Message, rules Rules) map[relation][]time.Time {
	delivered := make(map[relation][]time.Time)
	for _, m := range messages {
		for _, a := range m.attempts {
			if len(a.receipts) > 0 && isDelivered(a.receipts[0].outcome) {
				r := relation{a.session.node, m.to}
				delivered[r] = append(delivered[r], m.foundUntil(a.receipts[0].at, rules))
			}
		}
	}
	for _, times := range delivered {
		slices.SortFunc(times, time.Time.Compare)
	}
	return delivered
}

// foundUntil is until when m's receiver was where it got m, at the latest when m's receipt
// said so: it may have left since. Who did not get what was delivered had left before.
func (m *Message) foundUntil(receipt time.Time, rules Rules) time.Time {
	if len(m.receptions) == 0 {
		return receipt.Add(-rules.Notice)
	}
	until := receipt
	for _, r := range m.receptions {
		if !r.session.ended.IsZero() {
			until = earlier(until, r.session.ended)
		}
	}
	return until
}

func isDelivered(outcome string) bool { return outcome == "delivered" || outcome == "confirmed" }

// lastKnown is until when a client was, before a moment, where a node takes it to be:
// where something was delivered to it last; or when the node began, which knew of nobody.
func (v *lives) lastKnown(r relation, at time.Time) (since time.Time) {
	times := v.delivered[r]
	if i, _ := slices.BinarySearchFunc(times, at, time.Time.Compare); i > 0 {
		since = times[i-1]
	}
	for _, o := range v.outages[r.node] {
		if o.Kind == Killed && o.From.Before(at) {
			since = later(since, o.From)
		}
	}
	return since
}

// disturbed reports whether a fault explains that a message from sender to a client
// was not delivered within a span: one of Redis, of the sender's node, or of a node
// on which the client was when it failed, or was when the sender's node last knew. If
// the client was not connected all the time, the fault of any node explains that
// nobody knew that.
func (v *lives) disturbed(sender *Session, to string, when span) bool {
	if slices.ContainsFunc(v.unsettled, when.meets) {
		return true
	}
	about := make(map[string][]*Outage)
	for node, outages := range v.outages {
		for _, o := range outages {
			if when.meets(v.felt(o)) {
				about[node] = append(about[node], o)
			}
		}
	}
	if len(about[sender.node]) > 0 || len(about) > 0 && v.throughout(to, when.from, when.to) == nil {
		return true
	}
	since := v.lastKnown(relation{sender.node, to}, when.from)
	return slices.ContainsFunc(v.byOwner[to], func(s *Session) bool {
		return s.end != Refused && !s.began.After(when.to) && slices.ContainsFunc(about[s.node], func(o *Outage) bool {
			return !v.end(s).Before(earlier(since, o.From.Add(-v.rules.Notice)))
		})
	})
}

// killed reports whether the node of s was killed before s ended.
func (v *lives) killed(s *Session) bool {
	return slices.ContainsFunc(v.outages[s.node], func(o *Outage) bool {
		return o.Kind == Killed && !o.From.Before(s.began) && !o.From.After(s.ended)
	})
}
