package router

import (
	"context"
	"fmt"
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
		if taken := r.strangerAtOwnURL(ctx); taken != nil {
			return taken
		}
		return nil
	}
	return nil
}

// strangerAtOwnURL returns which node answers at this node's URL and is not this one, or nil.
func (r *Router) strangerAtOwnURL(ctx context.Context) *NamesakeError {
	ctx, cancel := r.runtime.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, node := range r.opts.Prober.NodesAt(ctx, r.opts.URL) {
		if node != r.opts.NodeID {
			return &NamesakeError{URL: r.opts.URL, Node: node}
		}
	}
	return nil
}

// watchNamesake asks at this node's URL a heartbeat after the start and three, when all
// nodes that started together accept, and at each heartbeat while another one answers.
func (r *Router) watchNamesake(ctx context.Context) {
	every := r.reg.Timing().Heartbeat
	for looks := 0; looks < 2 || r.namesake.Load() != nil; looks++ {
		wait := every
		if looks == 1 {
			wait = 2 * every
		}
		if r.runtime.Sleep(ctx, wait) != nil {
			return
		}
		taken := r.strangerAtOwnURL(ctx)
		if ctx.Err() != nil {
			return
		}
		if was := r.namesake.Swap(taken); was == nil && taken != nil {
			r.log.Error("this node's URL leads to another one", "error", taken)
		}
	}
}
