package redisproc

import (
	"bytes"
	"net"
	"sync"
	"time"
)

// proxyDial bounds the wait for the server behind a proxy.
const proxyDial = 2 * time.Second

// Proxy is a network between clients and a server: it passes TCP connections on until
// it is disturbed. All methods may be called from any goroutine.
type Proxy struct {
	Addr string // host:port, where it listens

	target string
	listen net.Listener
	work   sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond // the state, or that of a connection
	state   proxyState
	conns   map[*proxied]struct{}
	closed  bool
}

// proxyState is what the proxy does with connections and bytes.
type proxyState int

const (
	whole     proxyState = iota // passes them on
	cut                         // resets connections, and each new one at once
	blackHole                   // accepts them and passes nothing on, not even their end
	stalled                     // holds back everything until it is whole again
)

// connState is what becomes of the bytes of one connection while the proxy is whole or
// stalled.
type connState int

const (
	flowing connState = iota // they pass as the proxy's state says
	held                     // they wait, as if the proxy stalled
	lost                     // they are dropped, for ever
)

// proxied is a connection through the proxy, with its two ends.
type proxied struct {
	client, server net.Conn

	// Guarded by Proxy.mu.
	state      connState
	subscribes bool // something was subscribed on it
}

// StartProxy listens on a free port of 127.0.0.1 for connections to target.
func StartProxy(target string) (*Proxy, error) { return StartProxyAt("127.0.0.1:0", target) }

// StartProxyAt is StartProxy at an address.
func StartProxyAt(addr, target string) (*Proxy, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listen: l, conns: make(map[*proxied]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.work.Go(p.accept)
	return p, nil
}

// Cut resets all connections, and each new one at once, until Mend.
func (p *Proxy) Cut() {
	p.change(func() {
		p.state = cut
		for c := range p.conns {
			c.reset()
		}
	})
}

// BlackHole makes all connections silent for ever, as if a firewall had forgotten them:
// they stay open on both sides, also when one side closes its own. Until Mend, new ones
// are accepted and become silent, too.
func (p *Proxy) BlackHole() {
	p.change(func() {
		p.state = blackHole
		for c := range p.conns {
			c.state = lost
		}
	})
}

// Stall holds back everything until Mend, the closing of connections included, as if
// packets were lost: neither end notices anything.
func (p *Proxy) Stall() { p.change(func() { p.state = stalled }) }

// StallSubscriptions is Stall for the connections on which something was subscribed
// until now. It returns how many they are.
func (p *Proxy) StallSubscriptions() (n int) {
	p.change(func() {
		for c := range p.conns {
			if c.subscribes && c.state == flowing {
				c.state = held
				n++
			}
		}
	})
	return n
}

// Mend lets connections through again: new ones, and those that were stalled.
func (p *Proxy) Mend() {
	p.change(func() {
		p.state = whole
		for c := range p.conns {
			if c.state == held {
				c.state = flowing
			}
		}
	})
}

// Open returns how many connections are open through the proxy.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Close ends the proxy and all its connections: its address refuses new ones.
func (p *Proxy) Close() {
	p.listen.Close()
	p.change(func() {
		p.closed = true
		for c := range p.conns {
			c.close()
		}
	})
	p.work.Wait()
}

func (p *Proxy) change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve finds the server for a new connection and passes bytes until the end.
func (p *Proxy) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, proxyDial)
	c := &proxied{client: client, server: server}
	if err != nil || !p.add(c) {
		c.reset()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(c, client, server) })
	both.Go(func() { p.pass(c, server, client) })
	both.Wait()
	p.change(func() { delete(p.conns, c) })
	c.close()
}

// add takes c among the connections, unless the proxy is cut or closed.
func (p *Proxy) add(c *proxied) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == cut || p.closed {
		return false
	}
	if p.state == blackHole {
		c.state = lost
	}
	p.conns[c] = struct{}{}
	return true
}

// pass takes what comes from one end to the other one, until one closes. The end of a
// connection is passed on, too, unless its bytes are dropped.
func (p *Proxy) pass(c *proxied, from, to net.Conn) {
	room := make([]byte, 64<<10)
	for {
		n, err := from.Read(room)
		if !p.mayPass(c, from == c.client && bytes.Contains(room[:n], []byte("subscribe\r\n"))) {
			if err != nil {
				return // the other end hears nothing of it
			}
			continue
		}
		if n > 0 && err == nil {
			_, err = to.Write(room[:n])
		}
		if err != nil {
			c.close()
			return
		}
	}
}

// mayPass waits while c's bytes are held back, and reports whether they pass then.
func (p *Proxy) mayPass(c *proxied, subscribes bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.subscribes = c.subscribes || subscribes
	for !p.closed && (c.state == held || c.state == flowing && p.state == stalled) {
		p.changed.Wait()
	}
	return p.closed || c.state != lost
}

func (c *proxied) close() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if conn != nil {
			conn.Close()
		}
	}
}

// reset closes both ends as a broken network does.
func (c *proxied) reset() {
	for _, conn := range []net.Conn{c.client, c.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
	}
	c.close()
}
