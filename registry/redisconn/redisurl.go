package redisconn

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// parseMany parses a URL of several hosts into their addresses, and a URL of the first.
func parseMany(scheme, rest, port string) (*url.URL, []string, error) {
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	addrs := strings.Split(hosts, ",")
	for i, addr := range addrs {
		full, err := withPort(addr, port)
		if err != nil {
			return nil, nil, err
		}
		addrs[i] = full
	}
	u, err := url.Parse(scheme + "://" + user + addrs[0] + tail)
	if err != nil {
		return nil, nil, withoutURL(err)
	}
	if strings.Contains(u.Path, "@") {
		return nil, nil, errUnreadable // half a password that was not encoded
	}
	return u, addrs, checkNumbers(u)
}

// withPort completes host, or host:port, by a port that goes without saying. An IPv6
// address may go without brackets; then what follows the last colon is a port, if what
// precedes it is an address.
func withPort(addr, port string) (string, error) {
	if strings.Count(addr, ":") > 1 && !strings.HasPrefix(addr, "[") {
		if host, _, err := splitPort(addr); err == nil && isIP(host) {
			return net.JoinHostPort(host, addr[strings.LastIndexByte(addr, ':')+1:]), nil
		}
	}
	if bare := strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]"); isIP(bare) {
		return net.JoinHostPort(bare, port), nil
	}
	if !strings.Contains(addr, ":") {
		addr += ":" + port
	}
	host, _, err := splitPort(addr)
	switch {
	case err != nil:
		return "", errors.New("a port is no number from 0 to 65535")
	case host == "":
		return "", errors.New("a host is empty")
	case strings.Contains(host, ":") && !isIP(host):
		return "", errors.New("a host has a colon and is no IPv6 address")
	}
	return addr, nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

var errUnreadable = errors.New("it can't be read")

// withoutURL keeps what a parser says about a parameter, and hides what may
// repeat parts of the URL that should have been encoded.
func withoutURL(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) || strings.Contains(err.Error(), "@") {
		return errUnreadable
	}
	return err
}
