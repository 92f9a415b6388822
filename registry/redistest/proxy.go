package redistest

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Proxy passes connections on to a server. It can hold back what flows on them, in
// both directions and closing included, as a network does that loses every packet:
// neither end notices anything.
type Proxy struct {
	Addr string // host:port

	to       string
	listener net.Listener
	ended    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	closed  bool
	held    bool // all connections, and those to come
	conns   map[*proxied]struct{}
}

// proxied is a connection by way of a proxy.
type proxied struct {
	p              *Proxy
	client, server net.Conn

	// Guarded by Proxy.mu.
	subscribes bool
	held       bool
}

// StartProxy starts a proxy of a server. It ends with the test.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startProxy(t, s, listener)
}

func startProxy(t testing.TB, s *Server, listener net.Listener) *Proxy {
	p := &Proxy{Addr: listener.Addr().String(), to: s.Addr, listener: listener, conns: make(map[*proxied]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.ended.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// Client returns a client that talks by way of the proxy and is closed when t ends.
func (p *Proxy) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: p.Addr, DisableIdentity: true, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Open returns how many connections are open by way of the proxy.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Hold holds all connections, and those to come, until Flow.
func (p *Proxy) Hold() { p.set(func() { p.held = true }) }

// HoldSubscriptions holds the connections on which something was subscribed until now,
// and tells how many they are.
func (p *Proxy) HoldSubscriptions() (n int) {
	p.set(func() {
		for c := range p.conns {
			if c.subscribes {
				c.held = true
				n++
			}
		}
	})
	return n
}

// Flow lets all that was held back arrive.
func (p *Proxy) Flow() {
	p.set(func() {
		p.held = false
		for c := range p.conns {
			c.held = false
		}
	})
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = client.Close()
		return
	}
	c := &proxied{p: p, client: client, server: server}
	p.set(func() {
		p.conns[c] = struct{}{}
		if p.closed {
			c.close()
		}
	})
	var both sync.WaitGroup
	both.Go(func() { c.pass(client, server) })
	both.Go(func() { c.pass(server, client) })
	both.Wait()
	p.set(func() { delete(p.conns, c) })
}

// pass passes on what comes from one end to the other until one closes.
func (c *proxied) pass(from, to net.Conn) {
	room := make([]byte, 64<<10)
	for {
		n, err := from.Read(room)
		c.await(from == c.client && bytes.Contains(room[:n], []byte("subscribe\r\n")))
		if n > 0 && err == nil {
			_, err = to.Write(room[:n])
		}
		if err != nil {
			c.close()
			return
		}
	}
}

// await returns when the connection is not held.
func (c *proxied) await(subscribes bool) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.subscribes = c.subscribes || subscribes
	for (c.held || c.p.held) && !c.p.closed {
		c.p.changed.Wait()
	}
}

func (c *proxied) close() {
	_ = c.client.Close()
	_ = c.server.Close()
}

// Close ends the proxy: its address refuses connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.set(func() {
		p.closed = true
		for c := range p.conns {
			c.close()
		}
	})
	p.ended.Wait()
}
