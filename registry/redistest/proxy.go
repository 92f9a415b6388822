package redistest

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// Proxy is the network between clients and a server.
type Proxy struct{ *redisproc.Proxy }

// StartProxy starts a proxy of a server. It ends with the test.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	return proxyAt(t, "127.0.0.1:0", s)
}

func proxyAt(t testing.TB, addr string, s *Server) *Proxy {
	t.Helper()
	p, err := redisproc.StartProxyAt(addr, s.Addr)
	must(t, err)
	t.Cleanup(p.Close)
	return &Proxy{p}
}

// Client returns a client that talks by way of the proxy and is closed when t ends.
func (p *Proxy) Client(t testing.TB) *redis.Client { return clientAt(t, p.Addr, 0) }
