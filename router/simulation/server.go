package simulation

import (
	"errors"
	"slices"
	"time"
)

// What a server answers, or what becomes of a call of it.
var (
	errRefused  = errors.New("connection refused")
	errReset    = errors.New("connection reset by peer")
	errTimeout  = errors.New("i/o timeout")
	errReadOnly = errors.New("READONLY, this is a replica")
)

// server is one Redis server.
type server struct {
	world   *world
	name    string
	up      bool
	stopped bool     // it stands still, as at SIGSTOP
	held    []func() // what came meanwhile
	primary *server  // whose replica it is; nil: it is a master
	booted  time.Duration
	began   time.Duration // its role
	conns   []*conn       // that are open
	subs    map[string][]*conn
	data    *dataset

	// replicas get what a master is told, lag later.
	replicas []*server
	lag      func() time.Duration
}

// do has f happen now, or when the server goes on.
func (s *server) do(f func()) {
	if s.stopped {
		s.held = append(s.held, f)
		return
	}
	f()
}

// write changes a master's data, and those of its replicas a little later.
func (s *server) write(change func(d *dataset)) {
	change(s.data)
	for _, r := range s.replicas {
		s.world.after(s.lag(), func() {
			if r.primary == s && r.up && s.up {
				change(r.data)
			}
		})
	}
}

// publish hands payload to the subscribers of a channel, and returns how many there are
// here. A master's replicas have subscribers, too, who are not counted.
func (s *server) publish(channel, payload string) (receivers int64) {
	subs := s.subs[channel]
	for _, c := range slices.Clone(subs) {
		c.deliver(channel, payload)
	}
	if s.primary == nil {
		for _, r := range s.replicas {
			s.world.after(s.lag(), func() {
				if r.primary == s && r.up {
					r.publish(channel, payload)
				}
			})
		}
	}
	return int64(len(subs))
}

// crash ends the process: all connections break.
func (s *server) crash() {
	s.up, s.stopped, s.held = false, false, nil
	for _, c := range slices.Clone(s.conns) {
		c.reset(errReset)
	}
}

// boot starts the process with data.
func (s *server) boot(d *dataset) {
	s.up, s.booted, s.data = true, s.world.now, d
	s.data.replid = s.world.chance.Uint64()
}

// stop lets the process stand still, and proceed lets it go on.
func (s *server) stop() { s.stopped = true }
func (s *server) proceed() {
	s.stopped = false
	held := s.held
	s.held = nil
	for _, f := range held {
		if s.up {
			f()
		}
	}
}

// disconnect breaks the connections that which names.
func (s *server) disconnect(which func(c *conn) bool) {
	for _, c := range slices.Clone(s.conns) {
		if which(c) {
			c.reset(errReset)
		}
	}
}
