package redisconn

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Resolver resolves the names of hosts, as a *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	maxAddresses = 16 // of a name that are tried
	maxNames     = 64 // whose addresses are remembered
	maxAvoided   = 64 // places that are remembered as bad
	// avoidFor is how long a place that was no use is tried after all others.
	avoidFor = 30 * time.Second
)

// names resolves names, each time afresh. It remembers the last answers for when the name
// server does not answer, and the addresses that were of no use recently.
type names struct {
	resolver Resolver

	mu      sync.Mutex
	known   map[string][]netip.Addr
	avoided map[netip.AddrPort]time.Time
}

func newNames(resolver Resolver) *names {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return &names{resolver: resolver, known: make(map[string][]netip.Addr), avoided: make(map[netip.AddrPort]time.Time)}
}

// candidates returns the addresses at which to try host's port, in their order. If the
// name server does not answer within half of the time, they are those of its last answer.
func (n *names) candidates(ctx context.Context, host string, port uint16) ([]netip.AddrPort, error) {
	n.mu.Lock()
	known := n.known[host]
	n.mu.Unlock()
	looking := ctx
	if deadline, ok := ctx.Deadline(); ok && len(known) > 0 {
		var cancel context.CancelFunc
		looking, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	ips, err := n.lookup(looking, host)
	if err != nil {
		if len(known) == 0 || ctx.Err() != nil {
			return nil, err
		}
		ips = known
	}
	places := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		places[i] = netip.AddrPortFrom(ip, port)
	}
	n.putAvoidedLast(places)
	return places, nil
}

// lookup resolves host now.
func (n *names) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ips, err := n.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(ips) == 0 {
		err = fmt.Errorf("lookup %s: the name has no address", host)
	}
	if err != nil {
		return nil, err
	}
	for i, ip := range ips {
		ips[i] = ip.Unmap()
	}
	ips = interleaved(ips)
	ips = ips[:min(len(ips), maxAddresses)]
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= maxNames {
		clear(n.known)
	}
	n.known[host] = slices.Clone(ips)
	return ips, nil
}

// interleaved has the families of addresses take turns (RFC 8305, section 4): one that
// leads nowhere costs one head start.
func interleaved(ips []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range ips {
		if ip.Is4() == ips[0].Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	mixed := make([]netip.Addr, 0, len(ips))
	for i := range max(len(first), len(second)) {
		mixed = append(mixed, first[min(i, len(first)):min(i+1, len(first))]...)
		mixed = append(mixed, second[min(i, len(second)):min(i+1, len(second))]...)
	}
	return mixed
}

// avoid has place tried after all others for a while.
func (n *names) avoid(place netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.avoided) >= maxAvoided {
		clear(n.avoided)
	}
	n.avoided[place] = time.Now()
}

func (n *names) putAvoidedLast(places []netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	badness := func(p netip.AddrPort) int64 {
		at, ok := n.avoided[p]
		if !ok || time.Since(at) > avoidFor {
			return 0
		}
		return at.UnixNano()
	}
	slices.SortStableFunc(places, func(a, b netip.AddrPort) int {
		return int(min(1, max(-1, badness(a)-badness(b))))
	})
}

// splitPort splits host:port; an IPv6 address may go without its brackets. The port
// is a number.
func splitPort(addr string) (host string, port uint16, err error) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", 0, fmt.Errorf("%q has no port", addr)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(addr[:i], "["), "]")
	n, err := strconv.ParseUint(addr[i+1:], 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q has no port from 0 to 65535", addr)
	}
	return host, uint16(n), nil
}
