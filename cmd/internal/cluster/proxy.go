package cluster

import (
	"net"
	"sync"
	"time"
)

// proxyDial bounds the wait for the server behind a proxy.
const proxyDial = 2 * time.Second

// Proxy passes TCP connections on to a server until the link is disturbed. All
// methods may be called from any goroutine.
type Proxy struct {
	Addr string // host:port, where it listens

	target string
	listen net.Listener
	work   sync.WaitGroup

	mu      sync.Mutex
	state   linkState
	changed chan struct{} // closed at a change of state
	conns   map[*proxied]struct{}
	closed  bool
}

type linkState int

const (
	whole linkState = iota
	cut
	swallowing
	stalled
)

// proxied is a connection through the proxy, with its two ends.
type proxied struct {
	near, far net.Conn
	dead      bool // it was swallowed; guarded by the proxy's mu
}

// StartProxy listens on a free port of 127.0.0.1 for connections to target.
func StartProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		Addr: l.Addr().String(), target: target, listen: l,
		changed: make(chan struct{}), conns: make(map[*proxied]struct{}),
	}
	p.work.Go(p.accept)
	return p, nil
}

// Cut resets all connections, and each new one at once.
func (p *Proxy) Cut() {
	for _, c := range p.enter(cut) {
		c.reset()
	}
}

// Swallow lets all connections go silent for ever, as if a firewall had forgotten
// them: they stay open on both sides, also when one side closes its own. New ones
// are accepted and hear nothing.
func (p *Proxy) Swallow() {
	p.enter(swallowing)
}

// Stall holds everything back until Mend, as if packets were lost.
func (p *Proxy) Stall() { p.enter(stalled) }

// Mend lets connections through again: new ones, and those that were stalled.
func (p *Proxy) Mend() { p.enter(whole) }

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listen.Close()
	for _, c := range p.enter(cut) {
		c.reset()
	}
	p.work.Wait()
}

// enter changes the state and returns the connections of that moment.
func (p *Proxy) enter(state linkState) (list []*proxied) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
	close(p.changed)
	p.changed = make(chan struct{})
	for c := range p.conns {
		c.dead = c.dead || state == swallowing
		list = append(list, c)
	}
	return list
}

func (p *Proxy) accept() {
	for {
		near, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(near) })
	}
}

// connect finds the server for a new connection and passes bytes until the end.
func (p *Proxy) connect(near net.Conn) {
	c := &proxied{near: near}
	p.mu.Lock()
	state, closed := p.state, p.closed
	p.mu.Unlock()
	if state != cut && !closed {
		c.far, _ = net.DialTimeout("tcp", p.target, proxyDial) // without a server the client is reset
	}
	if c.far == nil || !p.add(c) {
		c.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(c, c.near, c.far) })
	both.Go(func() { p.pass(c, c.far, c.near) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.reset()
}

// add takes c among the connections, unless the link was cut meanwhile.
func (p *Proxy) add(c *proxied) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == cut || p.closed {
		return false
	}
	c.dead = p.state == swallowing
	p.conns[c] = struct{}{}
	return true
}

// pass takes what from says to the other end. The end of a connection is passed on
// too, unless it was swallowed.
func (p *Proxy) pass(c *proxied, from, to net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if !p.mayPass(c) {
			if err != nil {
				return // the other end hears nothing of it
			}
			continue
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				c.reset()
				return
			}
		}
		if err != nil {
			c.reset()
			return
		}
	}
}

// mayPass waits while the link stalls, and tells whether c's bytes pass.
func (p *Proxy) mayPass(c *proxied) bool {
	for {
		p.mu.Lock()
		state, dead, changed := p.state, c.dead, p.changed
		p.mu.Unlock()
		if state != stalled || dead {
			return !dead
		}
		<-changed
	}
}

func (c *proxied) reset() {
	for _, conn := range []net.Conn{c.near, c.far} {
		if tcp, ok := conn.(*net.TCPConn); ok && tcp != nil {
			tcp.SetLinger(0)
			tcp.Close()
		}
	}
}
