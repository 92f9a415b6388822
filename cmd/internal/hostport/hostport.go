package hostport

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrPort says that a port is missing, or is no number from 0 to 65535.
var ErrPort = errors.New("there is no port from 0 to 65535 behind the last colon")

// ErrHost says that a host has colons and is no IPv6 address.
var ErrHost = errors.New("the host has a colon and is no IPv6 address")

// Split splits host:port. The host may be empty.
func Split(address string) (host string, port int, err error) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return "", 0, ErrPort
	}
	n, err := strconv.ParseUint(address[i+1:], 10, 16)
	if err != nil {
		return "", 0, ErrPort
	}
	host = address[:i]
	bare, opened := strings.CutPrefix(host, "[")
	bare, closed := strings.CutSuffix(bare, "]")
	ip, ipErr := netip.ParseAddr(bare)
	switch {
	case opened != closed, opened && (ipErr != nil || !ip.Is6()):
		return "", 0, ErrHost
	case strings.Contains(bare, ":") && ipErr != nil:
		if !opened && isIPv6(address) {
			return "", 0, ErrPort // an address without a port, such as ::1
		}
		return "", 0, ErrHost
	}
	return bare, int(n), nil
}

func isIPv6(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Is6()
}

// Normal returns an address in the form that package net takes: with brackets around an
// IPv6 address.
func Normal(address string) (string, error) {
	host, port, err := Split(address)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// ParseURL is url.Parse for a URL whose host may be an IPv6 address without brackets, if
// a port follows it.
func ParseURL(raw string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return url.Parse(raw)
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user := ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, authority = authority[:i+1], authority[i+1:]
	}
	if strings.Count(authority, ":") > 1 && !strings.HasPrefix(authority, "[") {
		normal, err := Normal(authority)
		if err != nil {
			return nil, err
		}
		authority = normal
	}
	return url.Parse(scheme + "://" + user + authority + tail)
}
