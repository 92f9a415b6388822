package simulation

import (
	"errors"
	"slices"
	"time"
)

// conn is a connection of a host to a server. Each way keeps the order.
type conn struct {
	host   *host
	server *server
	opened time.Duration

	ended     [2]bool  // it has, as the server and the host know
	swallowed bool     // nothing gets through any more, and nobody is told
	held      []func() // what waits while the link is stalled
	arrivals  [2]time.Duration
	broken    []*func(error) // called when it has ended, on the host's side

	// Of a connection that subscribes.
	channel  string // empty: none
	listener func(channel, payload string)
	backlog  int  // bytes that the host has not read yet
	cut      bool // it has lagged too far
}

// The ways of a connection, and its ends.
const (
	toServer = 0
	toHost   = 1
)

// connect opens a connection to a server that is up.
func (s *server) connect(h *host) *conn {
	c := &conn{host: h, server: s, opened: s.world.now}
	s.conns, h.conns = append(s.conns, c), append(h.conns, c)
	return c
}

// send has f happen at the other side.
func (c *conn) send(way int, f func()) {
	if c.ended[1-way] || c.swallowed {
		return
	}
	w := c.host.world
	at := max(c.arrivals[way], w.now+c.host.latency())
	c.arrivals[way] = at
	w.after(at-w.now, func() { c.arrive(way, f) })
}

func (c *conn) arrive(way int, f func()) {
	switch {
	case c.ended[way] || c.swallowed:
	case c.host.link == linkStalled:
		c.held = append(c.held, func() { c.arrive(way, f) })
	case way == toServer:
		c.server.do(func() {
			if !c.ended[toServer] {
				f()
			}
		})
	default:
		f()
	}
}

// flow lets through what was held.
func (c *conn) flow() {
	held := c.held
	c.held = nil
	for _, f := range held {
		f()
	}
}

// reset ends the connection at both sides, with what is on its way.
func (c *conn) reset(why error) {
	c.endAtServer()
	c.endAtHost(why)
}

// close ends it as its host wants it: what was sent before still arrives. The server
// hears of it behind that, or only much later where the host is cut off without a word.
func (c *conn) close() {
	if c.ended[toHost] {
		return
	}
	if c.swallowed {
		c.host.world.after(silentSubscriber, func() { c.server.do(c.endAtServer) })
	}
	c.send(toServer, c.endAtServer)
	c.endAtHost(errClosed)
}

// silentSubscriber is for how long a server counts a subscriber whose host is cut off
// without a word.
const silentSubscriber = 15 * time.Second

var errClosed = errors.New("use of closed connection")

func (c *conn) endAtServer() {
	if c.ended[toServer] {
		return
	}
	c.ended[toServer] = true
	c.server.conns = slices.DeleteFunc(c.server.conns, func(x *conn) bool { return x == c })
	c.server.unsubscribe(c)
}

func (c *conn) endAtHost(why error) {
	if c.ended[toHost] {
		return
	}
	c.ended[toHost] = true
	c.host.conns = slices.DeleteFunc(c.host.conns, func(x *conn) bool { return x == c })
	broken := c.broken
	c.broken = nil
	for _, f := range broken {
		(*f)(why)
	}
}

// onEnd has f called when the connection has ended, unless that is forgotten before.
func (c *conn) onEnd(f func(error)) *func(error) {
	c.broken = append(c.broken, &f)
	return &f
}

func (c *conn) forget(f *func(error)) {
	c.broken = slices.DeleteFunc(c.broken, func(x *func(error)) bool { return x == f })
}

func (s *server) subscribe(c *conn, channel string) {
	c.channel = channel
	s.subs[channel] = append(s.subs[channel], c)
}

func (s *server) unsubscribe(c *conn) {
	if c.channel == "" {
		return
	}
	s.subs[c.channel] = slices.DeleteFunc(s.subs[c.channel], func(x *conn) bool { return x == c })
	if len(s.subs[c.channel]) == 0 {
		delete(s.subs, c.channel)
	}
	c.channel = ""
}

// maxBacklog is what a subscriber may lag, in bytes: client-output-buffer-limit. The first
// part of it is in the kernel's buffers, and still arrives after the server has cut the
// connection.
const (
	maxBacklog    = 256 << 10
	kernelBacklog = 64 << 10
)

// deliver sends what was published to a subscriber. One that lags is cut off.
func (c *conn) deliver(channel, payload string) {
	copies := c.host.cluster.copies(c.host)
	for range copies {
		if c.backlog += len(payload); c.backlog > maxBacklog {
			c.host.world.record("%s lags and is cut off", c.host.id)
			c.cut = true
			c.server.unsubscribe(c)
			c.send(toHost, func() { c.reset(errReset) })
			return
		}
		inKernel := c.backlog <= kernelBacklog
		c.send(toHost, func() {
			if inKernel || !c.cut {
				c.listener(channel, payload)
			}
		})
	}
}

// noise is what a bus does to what is published that Redis does not: the router must stand
// it all the same.
type noise struct{ lost, doubled float64 }

// copies returns how many copies of what is published a subscriber gets.
func (c *cluster) copies(h *host) int {
	n := h.noise
	if n == (noise{}) {
		return 1
	}
	switch x := c.world.chance.Float64(); {
	case x < n.lost:
		c.lost++
		return 0
	case x < n.lost+n.doubled:
		c.doubled++
		return 2
	}
	return 1
}
