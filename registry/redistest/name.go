package redistest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// Name is the name of a host behind which there are several servers, all at the same
// port, and which leads to one of them, to some, or to none. It resolves itself, as a
// registry.Resolver does. It ends with the test.
type Name struct {
	Host string // Host and Port are what clients dial
	Port uint16

	proxies map[*Server]*Proxy

	mu      sync.Mutex
	leads   []netip.Addr
	lookups int
}

// StartName starts a name that leads to the first of servers.
func StartName(t testing.TB, servers ...*Server) *Name {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("this host may have no second address") // on Linux all of 127.0.0.0/8 are its own
	}
	port, err := redisproc.FreePort()
	must(t, err)
	number, err := strconv.ParseUint(port, 10, 16)
	must(t, err)
	n := &Name{Host: "redis.example", Port: uint16(number), proxies: make(map[*Server]*Proxy)}
	for i, s := range servers {
		n.proxies[s] = proxyAt(t, net.JoinHostPort(fmt.Sprintf("127.0.0.%d", 2+i), port), s)
	}
	n.LeadTo(servers[0])
	return n
}

// URL returns the URL of the name.
func (n *Name) URL() string {
	return "redis://" + net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port)))
}

// LeadTo has the name lead to servers, in this order, from the next lookup on.
// Connections that are open stay.
func (n *Name) LeadTo(servers ...*Server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leads = nil
	for _, s := range servers {
		at := netip.MustParseAddrPort(n.proxies[s].Addr)
		n.leads = append(n.leads, at.Addr())
	}
}

// LookupNetIP answers as a name server does.
func (n *Name) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	if host != n.Host || len(n.leads) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return slices.Clone(n.leads), nil
}

// Lookups returns how often the name was looked up.
func (n *Name) Lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lookups
}

// Proxy returns the network in front of a server.
func (n *Name) Proxy(s *Server) *Proxy { return n.proxies[s] }
