package router

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// A node whose URL leads to another one harms itself and the other: whoever asks there
// whether one of them still lives may be answered by the other, and take the one for
// dead. So a node looks, before it accepts anybody, whether a live node that is listed with
// its own URL answers there. Nodes that start together can't answer each other yet, and
// a load balancer's address is nobody else's in the list: each node asks at its URL again
// a little later, when it would be answered by itself, and welcomes nobody while another
// node answers.

const (
	// maxPlaces bounds the addresses of a name that are asked.
	maxPlaces = 16
	// asksPerPlace is how often each is asked: a load balancer answers by turns.
	asksPerPlace = 3
)

// NamesakeError says that another live node answers at this node's own URL.
type NamesakeError struct {
	URL  string // this node's, and the other's
	Node string // the other
}

func (e *NamesakeError) Error() string {
	return fmt.Sprintf("node %q answers at %q too, which this node advertises: give each node a URL of its own (BEELINE_ADVERTISE), which leads to that node alone", e.Node, e.URL)
}

// findNamesake returns a *NamesakeError if another live node has this node's URL and
// answers there. What can't be found out is no error: a node that was killed a moment
// ago still has a lease, and does not answer. This node is not asked, because it does not
// accept yet.
func (r *Router) findNamesake(ctx context.Context) error {
	own, err := url.Parse(r.opts.URL)
	if err != nil {
		return nil
	}
	nodes, err := r.reg.Nodes(ctx)
	if err != nil {
		return nil
	}
	for _, other := range nodes {
		u, err := url.Parse(other.URL)
		if other.ID == r.opts.NodeID || err != nil || !strings.EqualFold(u.Host, own.Host) {
			continue
		}
		if taken := r.strangerAt(ctx, own); taken != nil {
			return taken
		}
		return nil
	}
	return nil
}

// strangerAt returns which node answers at u and is not this one, or nil.
func (r *Router) strangerAt(ctx context.Context, u *url.URL) (stranger *NamesakeError) {
	ctx, cancel := r.runtime.WithTimeout(ctx, judgeTimeout)
	defer cancel()
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
		if id := <-answers; id != "" && id != r.opts.NodeID {
			stranger = &NamesakeError{URL: r.opts.URL, Node: id}
		}
	}
	return stranger
}

// whoAnswers returns the node that answers at one of the addresses of u, or "".
func whoAnswers(ctx context.Context, u *url.URL, host string) string {
	where := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/node"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return ""
	}
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 8 << 10,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(host, port))
			},
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var who struct{ Node string }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<10)).Decode(&who) != nil {
		return ""
	}
	return who.Node
}

// watchNamesake asks at this node's URL a heartbeat after the start and three, when all
// nodes that started together accept, and at each heartbeat while another one answers.
func (r *Router) watchNamesake(ctx context.Context) {
	own, err := url.Parse(r.opts.URL)
	if err != nil {
		return
	}
	every := r.reg.Timing().Heartbeat
	for looks := 0; looks < 2 || r.namesake.Load() != nil; looks++ {
		wait := every
		if looks == 1 {
			wait = 2 * every
		}
		if r.runtime.Sleep(ctx, wait) != nil {
			return
		}
		taken := r.strangerAt(ctx, own)
		if ctx.Err() != nil {
			return
		}
		if was := r.namesake.Swap(taken); was == nil && taken != nil {
			r.log.Error("this node's URL leads to another one", "error", taken)
		}
	}
}
