package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/beeline-ws/beeline/router"
)

// linkState is what the network between a host and Redis does.
type linkState uint8

const (
	// linkOpen carries everything.
	linkOpen linkState = iota
	// linkCut refuses connections; those that there were are reset.
	linkCut
	// linkSwallowed carries nothing, and nobody is told; connections that there were are
	// of no use afterwards either.
	linkSwallowed
	// linkStalled carries everything once it is open again.
	linkStalled
)

// host is one process of a node, with its clock and its connections to Redis.
type host struct {
	world   *world
	cluster *cluster
	place   *place
	id      string
	runtime hostRuntime
	router  *router.Router
	bus     *simBus
	reg     *simRegistry
	loop    *loop

	sessions []*session // all that there ever were

	dead     bool
	frozen   bool
	held     []func()      // what it does when it goes on
	clock    time.Duration // by how much its wall clock is ahead
	link     linkState
	noise    noise
	conns    []*conn
	pool     *conn
	serving  bool // clients can connect
	draining bool // they are refused, after the others were told
	closed   bool // its listener is
	ctx      context.Context
	cancel   context.CancelFunc
}

func (h *host) now() time.Time { return instant(at(h.world.now).Add(h.clock), h.world.now) }

// after has f called on the host after d, as soon as it runs.
func (h *host) after(d time.Duration, f func()) *event {
	return h.world.after(d, func() { h.do(f) })
}

// do calls f as soon as the host runs.
func (h *host) do(f func()) {
	switch {
	case h.dead:
	case h.frozen:
		h.held = append(h.held, func() { h.do(f) })
	default:
		f()
	}
}

// start starts a task.
func (h *host) start(f func()) {
	if !h.dead {
		h.world.spawn(h, f)
	}
}

// latency is how long something takes to Redis or back: mostly little.
func (h *host) latency() time.Duration {
	c := h.world.chance
	d := 20*time.Microsecond + time.Duration(c.Int64N(int64(200*time.Microsecond)))
	if c.IntN(50) == 0 {
		d += time.Duration(c.Int64N(int64(h.cluster.plan.Slowest)))
	}
	return d
}

// dial opens a connection to the master.
func (h *host) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := h.runtime.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := h.runtime.Sleep(ctx, 2*h.latency()); err != nil {
		return nil, err
	}
	for h.link == linkSwallowed || h.link == linkStalled || h.cluster.master.stopped {
		if err := h.runtime.Sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, errTimeout
		}
	}
	if h.link == linkCut || !h.cluster.master.up {
		return nil, errRefused
	}
	return h.cluster.master.connect(h), nil
}

const (
	dialTimeout = 3 * time.Second
	callTimeout = 3 * time.Second
)

// call has a server do something, by way of the host's pool, and waits for its answer. On
// an error it may have been done all the same, or will be.
func (h *host) call(ctx context.Context, do func(s *server) error) error {
	ctx, cancel := h.runtime.WithTimeout(ctx, callTimeout)
	defer cancel()
	c := h.pool
	if c == nil || c.ended[toHost] {
		var err error
		if c, err = h.dial(ctx); err != nil {
			return err
		}
		if h.pool != nil && !h.pool.ended[toHost] { // somebody else was faster
			c.close()
			c = h.pool
		}
		h.pool = c
	}
	answered, answer, done := newSignal(h.world), error(nil), false
	finish := func(err error) {
		if !done {
			done, answer = true, err
			answered.Set()
		}
	}
	broken := c.onEnd(finish)
	c.send(toServer, func() {
		err := do(c.server)
		c.send(toHost, func() { finish(err) })
	})
	err := answered.Wait(ctx)
	c.forget(broken)
	if err != nil {
		done = true
		c.close() // as a pool does with a connection on which an answer is overdue
		return err
	}
	if errors.Is(answer, errReadOnly) || errors.Is(answer, errMoved) {
		c.close()
	}
	return answer
}

// redial closes the connections that were opened before since.
func (h *host) redial(since time.Time) {
	before := since.Sub(h.now()) + h.world.now
	for _, c := range append([]*conn(nil), h.conns...) {
		if c.opened < before {
			c.close()
		}
	}
}

// setLink changes what the network does.
func (h *host) setLink(s linkState) {
	h.link = s
	conns := append([]*conn(nil), h.conns...)
	for _, c := range conns {
		switch s {
		case linkCut:
			c.reset(errReset)
		case linkSwallowed:
			c.swallowed = true
		case linkOpen:
			c.flow()
		case linkStalled:
		}
	}
}

// freeze stops the process, and thaw lets it go on.
func (h *host) freeze() { h.frozen = true }
func (h *host) thaw() {
	h.frozen = false
	held := h.held
	h.held = nil
	for _, f := range held {
		f()
	}
}

// kill ends the process.
func (h *host) kill() {
	h.dead, h.serving, h.frozen, h.held = true, false, false, nil
	for _, c := range append([]*conn(nil), h.conns...) {
		if h.link == linkSwallowed || c.swallowed {
			c.close()
		} else {
			c.reset(errReset)
		}
	}
	h.world.kill(h)
}
