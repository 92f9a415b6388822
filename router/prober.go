package router

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// Prober asks at nodes' addresses who is there. A node says it at GET /node.
type Prober interface {
	// NodeAt returns which node is at a URL. The error is ErrRefused if nobody is there,
	// because connections are refused; any other says that it is not known.
	NodeAt(ctx context.Context, url string) (node string, err error)
	// NodesAt returns the nodes that answer at the addresses that the URL's host has, in
	// the order in which they were asked; each is asked several times. It may return one
	// several times, and none if that can't be found out.
	NodesAt(ctx context.Context, url string) (nodes []string)
	// Close ends what is open.
	Close()
}

// ErrRefused says that nobody is at an address.
var ErrRefused = errors.New("nobody is at the address")

const (
	// maxPlaces bounds the addresses of a name that are asked.
	maxPlaces = 16
	// asksPerPlace is how often each is asked: a load balancer answers by turns.
	asksPerPlace = 3
	// maxBroken is how often an address is asked again, after firstProbeDelay each, where the
	// connection to it broke.
	maxBroken = 3
	// maxIdentity and maxIdentityHead bound what is read of a peer's answer, in bytes.
	maxIdentity     = 1 << 10
	maxIdentityHead = 8 << 10
)

// httpProber is the Prober of nodes. Only scheme, host and port of a URL count, since
// others can write leases, too; whatever answers there may say only which node it is, in
// few bytes, and sends nobody elsewhere. No proxy is used, and no connection kept.
type httpProber struct{ client *http.Client }

func newProber() Prober {
	return httpProber{&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, DisableCompression: true, Proxy: nil, MaxResponseHeaderBytes: maxIdentityHead},
		CheckRedirect: followNobody,
		Timeout:       probeTimeout,
	}}
}

func followNobody(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// NodeAt asks again where the connection breaks: a process that stood still may just have
// been killed, and connections are refused then.
func (p httpProber) NodeAt(ctx context.Context, raw string) (string, error) {
	u, err := identityURL(raw)
	if err != nil {
		return "", err
	}
	node, err := identity(ctx, p.client, u)
	for tries := 0; broken(err) && tries < maxBroken && pause(ctx, firstProbeDelay); tries++ {
		node, err = identity(ctx, p.client, u)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "", ErrRefused
	}
	return node, err
}

func (p httpProber) Close() { p.client.CloseIdleConnections() }

// pause waits for d, and reports whether it has: not if ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// broken reports whether a connection was made, and ended before there was an answer.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

var errNoIdentity = errors.New("the answer does not say which node it is")

// identity returns which node the answer at u says that it is.
func identity(ctx context.Context, client *http.Client, u string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var who struct{ Node string }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, maxIdentity)).Decode(&who) != nil || who.Node == "" {
		return "", errNoIdentity
	}
	return who.Node, nil
}

// identityURL returns where a node that is at a URL says which one it is.
func identityURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", errors.New("no URL of a node")
	}
	u = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/node"}
	return u.String(), nil
}

// NodesAt asks at all addresses at once.
func (p httpProber) NodesAt(ctx context.Context, raw string) (nodes []string) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	hosts, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		return nil
	}
	hosts = hosts[:min(len(hosts), maxPlaces)]
	answers := make(chan string)
	for _, host := range hosts {
		for range asksPerPlace {
			go func() { answers <- whoAnswers(ctx, u, host) }()
		}
	}
	for range len(hosts) * asksPerPlace {
		if node := <-answers; node != "" {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// whoAnswers returns the node that answers at one of the addresses of u, or "".
func whoAnswers(ctx context.Context, u *url.URL, host string) string {
	where := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/node"}
	client := http.Client{
		CheckRedirect: followNobody,
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxIdentityHead,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
			},
		},
	}
	node, _ := identity(ctx, &client, where.String())
	return node
}
