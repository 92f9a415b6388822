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
)

// Name is the name of a host behind which there are several servers, all at the same
// port, and which leads to one of them, to some, or to none. It resolves itself, as a
// registry.Resolver does. It ends with the test.
type Name struct {
	Host string // Host and Port are what clients dial
	Port uint16

	t       testing.TB
	proxies map[*Server]*Proxy

	mu      sync.Mutex
	leads   []netip.Addr
	lookups int
}

// StartName starts a name that leads to the first of servers.
func StartName(t testing.TB, servers ...*Server) *Name {
	t.Helper()
	n := &Name{Host: "redis.example", t: t, proxies: make(map[*Server]*Proxy)}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	n.Port = uint16(port)
	for i, s := range servers {
		// Every address of 127.0.0.0/8 is this host's own on Linux.
		l, err := net.Listen("tcp", net.JoinHostPort(fmt.Sprintf("127.0.0.%d", 2+i), strconv.Itoa(port)))
		if err != nil && runtime.GOOS != "linux" {
			t.Skipf("this host has no second address: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		n.proxies[s] = startProxy(t, s, l)
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
