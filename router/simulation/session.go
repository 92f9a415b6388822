package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/router"
	"github.com/beeline-ws/beeline/router/ledger"
)

// loop is a node's event loop: it takes what clients have sent, in order, and flushes.
type loop struct {
	host  *host
	some  *signal
	queue []func()
}

func newLoop(h *host) *loop { return &loop{host: h, some: newSignal(h.world)} }

func (l *loop) post(f func()) {
	if !l.host.dead {
		l.queue = append(l.queue, f)
		l.some.Set()
	}
}

func (l *loop) run() {
	for l.some.Wait(l.host.ctx) == nil {
		for len(l.queue) > 0 {
			queue := l.queue
			l.queue = nil
			for _, f := range queue {
				f()
			}
			l.host.router.Flush()
		}
	}
}

// session is a client's connection to a node: the node's side of it, which the router knows,
// and the network between.
type session struct {
	host   *host
	line   *line
	record *ledger.Session
	id     string
	began  time.Duration

	// As the node knows.
	joined  bool
	closing bool

	// As the network knows.
	lingers  bool // the client has another one already
	broken   bool // nothing gets through any more
	arrivals [2]time.Duration
}

// up has the node do f, once what was sent before has arrived.
func (s *session) up(f func()) {
	s.travel(toServer, func() { s.host.loop.post(f) })
}

// down has the client take f.
func (s *session) down(f func()) { s.travel(toHost, f) }

func (s *session) travel(way int, f func()) {
	w := s.host.world
	t := max(s.arrivals[way], w.now+s.line.latency())
	s.arrivals[way] = t
	w.after(t-w.now, func() {
		if !s.broken {
			f()
		}
	})
}

// Deliver sends a message to the client.
func (s *session) Deliver(m *router.Message) router.Outcome {
	if s.closing || s.host.dead {
		return router.Offline
	}
	from, to, data, id, confirm := m.From, m.To, bytes.Clone(m.Data), m.ID, m.Confirm
	s.host.world.record("%s delivers %s to %s", s.host.id, id, s.id)
	s.spoil(func() { s.line.received(s, from, to, data, id, confirm) })
	return router.Delivered
}

// spoil sends what is delivered to the client, but for what is sabotaged.
func (s *session) spoil(deliver func()) {
	c := s.host.cluster
	c.delivered++
	switch bad := c.plan.sabotage; {
	case c.delivered%20 > 0:
		s.down(deliver)
	case bad.lose:
	case bad.double:
		s.down(deliver)
		s.down(deliver)
	case bad.swap:
		s.host.world.after(time.Second, func() { s.down(deliver) })
	default:
		s.down(deliver)
	}
}

// Evict closes the session.
func (s *session) Evict(_ string, reason error) {
	if s.closing {
		return
	}
	s.closing = true
	s.host.world.record("%s evicts %s: %v", s.host.id, s.id, reason)
	s.down(func() { s.line.evicted(s, reason) })
}

// join has the node welcome the client.
func (s *session) join(deadline time.Duration) {
	h := s.host
	if h.draining {
		s.down(func() { s.line.refused(s, errors.New("node is draining")) })
		return
	}
	h.router.JoinAsync(h.now().Add(deadline), s.line.client, s, func(err error) {
		switch {
		case err != nil:
			s.down(func() { s.line.refused(s, err) })
		case s.closing: // the client has gone, or another session of it has come
			h.router.Leave(s.line.client, s)
		default:
			s.joined = true
			h.world.record("%s welcomes %s", h.id, s.id)
			s.down(func() { s.line.welcomed(s) })
		}
	})
}

// leave is what the node does when the client has gone.
func (s *session) leave() {
	s.closing = true
	if s.joined {
		s.host.router.Leave(s.line.client, s)
	} else {
		s.host.router.Withdraw(s.line.client, s)
	}
}

// send has the node send a message.
func (s *session) send(m *ledger.Message, data string, how sending) {
	if s.closing {
		return
	}
	msg := router.Message{From: s.line.client, To: m.To(), Data: []byte(data), Receipt: how.receipt, Confirm: m.Confirm()}
	if how.named {
		msg.Ref = []byte(m.ID())
	}
	s.host.router.Send(msg, func(id router.MessageID, o router.Outcome) {
		s.host.world.record("%s tells %s of %s (%s): %v", s.host.id, s.id, m.ID(), id, o)
		if !s.host.cluster.plan.sabotage.mute {
			s.down(func() { s.line.receipt(s, m, o) })
		}
	})
}

// confirm has the node know that the client has received a message.
func (s *session) confirm(id router.MessageID) {
	if !s.closing {
		s.host.router.Confirm(s.line.client, id)
	}
}

// cut breaks the connection at the client's side; the node hears of it.
func (s *session) cut(after time.Duration) {
	h := s.host
	h.world.after(after, func() {
		if !h.dead {
			h.loop.post(s.leave)
		}
	})
	s.broken = true
}

func (s *session) String() string { return fmt.Sprint(s.id) }
