package ledger

import (
	"slices"
	"time"
)

// never is later than everything that a ledger holds.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// lives answers questions about sessions, given what was done to their nodes.
type lives struct {
	rules   Rules
	outages map[string][]*Outage // in the order of their beginning
	byOwner map[string][]*Session

	lingers   map[*Session]time.Time
	unsettled []span
	delivered map[relation][]time.Time
}

// newLives is about all that l holds; the caller holds its lock.
func newLives(rules Rules, l *Ledger) *lives {
	v := &lives{
		rules: rules, outages: l.outages, byOwner: l.sessions, lingers: make(map[*Session]time.Time),
		delivered: findDelivered(l.messages, rules),
	}
	for _, list := range v.outages {
		slices.SortStableFunc(list, func(a, b *Outage) int { return a.From.Compare(b.From) })
	}
	for _, list := range v.byOwner {
		for _, s := range list {
			v.lingers[s] = v.linger(s)
		}
	}
	v.unsettled = v.findUnsettled()
	return v
}

// end is when s ended as its node knows at the latest, and as its client knows at
// the earliest: a client hears of a kill a little later.
func (v *lives) end(s *Session) time.Time {
	end := never
	if !s.ended.IsZero() {
		end = s.ended
	}
	for _, o := range v.outages[s.node] {
		if o.Kind == Killed && o.From.After(s.began) && o.From.Before(end) {
			end = o.From
		}
	}
	return end
}

// linger is until when the node of s may have delivered to it, though its client
// had left: a stopped node learns of it late. A dead one delivers nothing.
func (v *lives) linger(s *Session) time.Time {
	end := v.end(s)
	if end.Equal(never) {
		return never
	}
	return v.noticed(s.node, end)
}

// noticed is when node has run for long enough since t to notice what happened then.
func (v *lives) noticed(node string, t time.Time) time.Time {
	return v.hasRun(node, t, v.rules.Notice)
}

// hasRun is when node has run for d since t.
func (v *lives) hasRun(node string, t time.Time, d time.Duration) time.Time {
	end := t.Add(d)
	for _, o := range v.outages[node] { // in the order of their beginning
		if o.Kind != Stopped || !o.From.Before(end) || !o.until().After(t) {
			continue
		}
		if o.To.IsZero() {
			return never
		}
		end = end.Add(o.To.Sub(later(o.From, t)))
	}
	return end
}

// until is the outage's end.
func (o *Outage) until() time.Time {
	if o.To.IsZero() {
		return never
	}
	return o.To
}

// standstill is for how long node did not run in a span of time.
func (v *lives) standstill(node string, from, to time.Time) (sum time.Duration) {
	for _, o := range v.outages[node] {
		if o.Kind != Stopped || !o.From.Before(to) || !o.until().After(from) {
			continue
		}
		sum += earlier(o.until(), to).Sub(later(o.From, from))
	}
	return sum
}

// lapsed reports whether node may have counted as dead at some moment of a span.
// Outages with less than Beat between them count as one. A Redis that was away from
// everybody is no reason alone: it makes nobody's lease end earlier than others'.
func (v *lives) lapsed(node string, from, to time.Time) bool {
	var begin, end time.Time
	own := false
	for _, o := range v.outages[node] { // in the order of their beginning
		if o.Kind == Killed {
			continue
		}
		if o.From.After(end.Add(v.rules.Beat)) {
			begin, end, own = o.From, o.until(), false
		}
		own = own || o.Kind != Away
		end = later(end, o.until())
		if o.Kind == Swallowed {
			end = later(end, o.until().Add(v.rules.Redial))
		}
		if own && begin.Add(v.rules.Lapse).Before(earlier(to, end)) && end.Add(v.rules.Return).After(from) {
			return true
		}
	}
	return false
}

// possible lists the sessions of client to which its nodes may have delivered in a
// span, welcomed or not.
func (v *lives) possible(client string, from, to time.Time) (list []*Session) {
	for _, s := range v.byOwner[client] {
		if s.end != Refused && !s.began.After(to) && !v.lingers[s].Before(from) {
			list = append(list, s)
		}
	}
	return list
}

// throughout finds the session of client that was welcomed before a span and
// certainly lived until after it.
func (v *lives) throughout(client string, from, to time.Time) *Session {
	for _, s := range v.byOwner[client] {
		if s.welcomed.IsZero() || s.welcomed.After(from) {
			continue
		}
		end := v.end(s)
		if s.end == ByNode { // which was decided some time before the client heard
			end = end.Add(-v.rules.Slack)
		}
		if end.After(to) {
			return s
		}
	}
	return nil
}

// StoodStill reports whether node did not run at some moment of a span.
func (l *Ledger) StoodStill(node string, from, to time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := lives{outages: l.outages}
	return v.standstill(node, from, to) > 0
}

// outlived reports whether s had all the time that it needs to read what was
// delivered before t.
func (v *lives) outlived(s *Session, t time.Time) bool {
	if s.welcomed.IsZero() {
		return false
	}
	return v.end(s).After(v.noticed(s.node, t))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
