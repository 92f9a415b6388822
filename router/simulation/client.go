package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router"
	"github.com/beeline-ws/beeline/router/ledger"
)

// line is a client with one session at a time, which connects, sends, reads, moves and
// comes back. A client with several sessions is several lines of one name.
type line struct {
	cluster *cluster
	client  string
	number  int
	chance  *rand.Rand

	session    *session // that it is connected, or connecting, by
	up         bool     // it was welcomed
	avoid      int      // the place to avoid next; -1: none
	pending    []*ledger.Message
	unanswered []*ledger.Message // when the last session ended
	named      map[*ledger.Message]bool
	vain       time.Duration // when the last attempt to connect began that was in vain
	epoch      int           // grows with each session: what was planned for a former one is void
}

// sending is how a message is sent.
type sending struct{ receipt, named bool }

const (
	// dialPatience is how long a client waits for a welcome.
	dialPatience = 4 * time.Second
	silentLeave  = 200 * time.Millisecond // until a node notices that a client has gone without a word
)

func (l *line) latency() time.Duration {
	return 50*time.Microsecond + time.Duration(l.chance.Int64N(int64(time.Millisecond)))
}

// between returns a duration by chance.
func between(c *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(c.Int64N(int64(to-from)+1))
}

func (l *line) world() *world { return l.cluster.world }

func (l *line) after(d time.Duration, f func()) {
	epoch := l.epoch
	l.world().after(d, func() {
		if l.epoch == epoch {
			f()
		}
	})
}

// connect tries a node.
func (l *line) connect() {
	w, c := l.world(), l.cluster
	place := l.chance.IntN(len(c.places))
	if place == l.avoid && len(c.places) > 1 {
		place = (place + 1) % len(c.places)
	}
	h := c.places[place].host
	l.epoch++
	l.up = false
	record := c.ledger.Dial(l.client, c.places[place].name, at(w.now))
	if h == nil || h.dead || !h.serving || h.draining {
		record.Ended(ledger.Refused, "connection refused", at(w.now))
		l.avoid = place
		l.after(between(l.chance, 20*time.Millisecond, 250*time.Millisecond), l.connect)
		return
	}
	c.sessions++
	s := &session{host: h, line: l, record: record, began: w.now, id: fmt.Sprintf("s%d of %s", c.sessions, l.client)}
	l.session = s
	h.sessions = append(h.sessions, s)
	s.up(func() { s.join(dialPatience) })
	l.after(dialPatience+time.Second, func() {
		if !l.up {
			record.Ended(ledger.ByClient, "not welcomed in time", at(w.now))
			l.lose(place)
			s.cut(l.latency())
		}
	})
}

// lose ends the session, as the client knows, and connects again.
func (l *line) lose(avoid int) {
	if l.session != nil && !l.up {
		l.vain = l.session.began
	}
	l.epoch++
	l.session, l.up, l.avoid = nil, false, avoid
	l.unanswered, l.pending = append(l.unanswered, l.pending...), nil
	l.after(between(l.chance, time.Millisecond, 300*time.Millisecond), l.connect)
}

func (l *line) refused(s *session, err error) {
	if l.session != s {
		return
	}
	s.record.Ended(ledger.Refused, "refused: "+err.Error(), at(l.world().now))
	s.broken = true
	l.lose(s.host.place.number)
}

func (l *line) welcomed(s *session) {
	if l.session != s {
		return
	}
	s.record.Welcomed(s.id, at(l.world().now))
	l.up = true
	l.repeat()
	l.plan()
}

// plan decides what the client does next.
func (l *line) plan() {
	p := l.cluster.plan
	l.after(time.Duration(l.chance.ExpFloat64()*float64(p.Interval)), func() {
		if l.cluster.quiet {
			return
		}
		switch x := l.chance.Float64(); {
		case l.world().now < p.Begin:
			l.plan()
		case x < p.Moves:
			l.move()
		default:
			l.burst()
			l.plan()
		}
	})
}

// move leaves the node: with a goodbye, or without, and comes back at once or later.
func (l *line) move() {
	s := l.session
	if s == nil {
		return
	}
	if l.cluster.plan.Duplicates == registry.Replace && l.chance.IntN(2) == 0 {
		l.linger()
	} else {
		l.leave(l.chance.IntN(2) == 0)
	}
	l.avoid = s.host.place.number
	if l.chance.IntN(4) == 0 {
		l.avoid = -1
	}
	pause := between(l.chance, 0, 50*time.Millisecond)
	if l.chance.IntN(3) == 0 {
		pause = between(l.chance, 0, 2*time.Second)
	}
	l.after(pause, l.connect)
}

// linger leaves the session to the next one of the client, which replaces it.
func (l *line) linger() {
	s := l.session
	s.lingers = true
	l.epoch++
	l.session, l.up = nil, false
	l.unanswered, l.pending = append(l.unanswered, l.pending...), nil
	l.world().after(lingerTime, func() {
		if s.lingers {
			s.lingers = false
			s.record.Ended(ledger.ByClient, "has lingered", at(l.world().now))
			s.up(s.leave)
		}
	})
}

// lingerTime is for how long a client keeps a session beside its next one.
const lingerTime = 8 * time.Second

// reads reports whether the client still reads what comes by s.
func (l *line) reads(s *session) bool { return l.session == s || s.lingers }

// leave ends the session.
func (l *line) leave(cut bool) {
	s := l.session
	s.record.Ended(ledger.ByClient, "moved", at(l.world().now))
	l.epoch++
	l.session, l.up = nil, false
	l.unanswered, l.pending = append(l.unanswered, l.pending...), nil
	if cut {
		s.cut(between(l.chance, 0, silentLeave))
		return
	}
	s.up(s.leave)
}

// burst sends a few messages to one client.
func (l *line) burst() {
	to := l.cluster.receiver(l)
	for range 1 + l.chance.IntN(4) {
		l.send(to)
	}
}

func (l *line) send(to string) *ledger.Message {
	s, p := l.session, l.cluster.plan
	m := s.record.Send(to, l.chance.Float64() < p.Confirm, at(l.world().now))
	named := l.chance.IntN(2) == 0
	l.pending = append(l.pending, m)
	if named {
		l.named[m] = true
	}
	l.transmit(s, m, sending{l.chance.IntN(3) > 0, named})
	return m
}

func (l *line) transmit(s *session, m *ledger.Message, how sending) {
	data := m.Data(l.cluster.ledger)
	s.up(func() { s.send(m, data, how) })
}

// repeat sends again what had no receipt when the last session ended.
func (l *line) repeat() {
	unanswered := l.unanswered
	l.unanswered = nil
	for _, m := range unanswered {
		if !l.named[m] || l.chance.Float64() >= l.cluster.plan.Repeat {
			delete(l.named, m)
			continue
		}
		l.session.record.Repeat(m, at(l.world().now))
		l.pending = append(l.pending, m)
		l.transmit(l.session, m, sending{true, true})
	}
}

func (l *line) received(s *session, from, to string, data []byte, id router.MessageID, confirm bool) {
	if !l.reads(s) {
		return
	}
	s.record.Received(from, to, data, at(l.world().now))
	if confirm {
		s.up(func() { s.confirm(id) })
	}
}

func (l *line) receipt(s *session, m *ledger.Message, o router.Outcome) {
	if !l.reads(s) {
		return
	}
	s.record.Receipt(m.ID(), o.String(), "", at(l.world().now))
	for i, p := range l.pending {
		if p == m {
			l.pending = append(l.pending[:i:i], l.pending[i+1:]...)
			delete(l.named, m)
			break
		}
	}
}

// evicted takes the node's goodbye.
func (l *line) evicted(s *session, reason error) {
	s.broken = true
	switch {
	case s.lingers:
		s.lingers = false
		s.record.Ended(ledger.ByClient, "replaced by the client itself", at(l.world().now))
	case l.reads(s):
		end := ledger.ByNode
		if l.cluster.plan.Duplicates == registry.Replace && l.vain > 0 && s.host.place.troubled >= l.vain {
			end = ledger.ByClient // the claim of that attempt was on its way to this node, which did not hear it then
		}
		l.gone(s, end, "bye: "+reason.Error(), -1)
	}
}

// dropped notes that the connection has ended at the other side.
func (l *line) dropped(s *session, end ledger.End, how string) {
	s.broken = true
	if l.reads(s) {
		l.gone(s, end, how, s.host.place.number)
	}
}

func (l *line) gone(s *session, end ledger.End, how string, avoid int) {
	s.record.Ended(end, how, at(l.world().now))
	if s.lingers {
		s.lingers = false
		return
	}
	l.lose(avoid)
}
