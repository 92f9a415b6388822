package node

import (
	"context"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/directory"
	"github.com/beeline-ws/beeline/router"
	"github.com/beeline-ws/beeline/router/baseline"
)

// exchange is what a node needs of its router, whichever Options.Delivery chooses: package router's,
// or one of package baseline. Each method is described there.
type exchange interface {
	Start(context.Context) error
	SetDraining(context.Context) error
	Stop(context.Context) error
	Hindrances() []router.Hindrance
	members
	sender
}

// members is how sessions come and go.
type members interface {
	Join(ctx context.Context, address string, s router.Session) error
	JoinAsync(deadline time.Time, address string, s router.Session, joined func(error))
	Withdraw(address string, s router.Session)
	Leave(address string, s router.Session)
	Sessions(address string) []router.Session
}

// sender takes messages, and what receivers' sessions say of them.
type sender interface {
	Send(m router.Message, done func(router.MessageID, router.Outcome))
	Flush()
	Confirm(client string, id router.MessageID)
	Drop(client string, id router.MessageID)
}

var (
	_ exchange = (*router.Router)(nil)
	_ exchange = (*baseline.Router)(nil)
)

// checkDelivery says which options the chosen delivery can't have.
func (o *Options) checkDelivery() (errs []error) {
	switch o.Delivery {
	case router.Targeted:
		return nil
	case router.Broadcast, router.Subscribe:
	default:
		return []error{fmt.Errorf("delivery %q: allowed are %s, %s and %s", o.Delivery, router.Targeted, router.Broadcast, router.Subscribe)}
	}
	if o.Duplicates != registry.Allow {
		errs = append(errs, fmt.Errorf("duplicates %q under delivery %s: nobody knows where else a client is connected; allowed is %s",
			o.Duplicates, o.Delivery, registry.Allow))
	}
	if o.Grace != 0 {
		errs = append(errs, fmt.Errorf("grace %v under delivery %s: nobody knows whether a receiver is connected; allowed is 0", o.Grace, o.Delivery))
	}
	if len(o.ClusterKeys) > 0 {
		errs = append(errs, fmt.Errorf("a cluster key under delivery %s, which signs nothing: leave it out, and see to it by Redis' ACL that nodes alone may publish",
			o.Delivery))
	}
	return errs
}

// warnOfNoKey has the log told that others can pretend to be nodes.
func (n *Node) warnOfNoKey() {
	const may = "what nodes tell each other is not authenticated: whoever may publish to this Redis can speak for any node. "
	switch {
	case n.opts.Delivery != router.Targeted:
		n.log.Warn(may+"Only Redis' ACL can prevent it; see docs/redis.md", "delivery", n.opts.Delivery)
	case len(n.opts.ClusterKeys) == 0:
		n.log.Warn(may + "Set BEELINE_CLUSTER_KEY on all nodes; see docs/redis.md")
	}
}

// leastSubscriberBuffer is what Redis must let a node lag, in bytes: the batches of two
// others that it has not acknowledged.
const leastSubscriberBuffer = 8 << 20

// newRouter makes the router that Options.Delivery names.
func (n *Node) newRouter(url string) (exchange, error) {
	o := &n.opts
	reg, err := registry.New(registry.Options{
		Redis: o.Redis, NodeID: n.id, Prefix: o.Prefix, Heartbeat: o.Heartbeat,
		Metrics: n.metrics.Registry, Logger: n.log,
		SubscriberBuffer: int64(max(leastSubscriberBuffer, o.MaxMessage+leastSubscriberBuffer/2)),
	})
	if err != nil {
		return nil, err
	}
	n.directory = directory.New(reg, ownSessions{n})
	if o.Delivery == router.Targeted {
		return n.newTargeted(url, reg)
	}
	return n.newBaseline(url, reg)
}

func (n *Node) newTargeted(url string, reg *registry.Registry) (exchange, error) {
	o := &n.opts
	r, err := router.New(router.Options{
		NodeID: n.id, URL: url, Version: o.Version, Redis: o.Redis, Registry: reg, Duplicates: o.Duplicates,
		MessageTimeout: o.MessageTimeout, Grace: o.Grace, MaxPendingBytes: o.MaxPendingBytes, OwnerCache: o.OwnerCache,
		MaxClientSessions: o.MaxClientSessions,
		Gather:            n.gather, Metrics: n.metrics.Router, Logger: n.log,
		ClusterKeys: o.ClusterKeys, ValidData: validData, ReadExternal: n.readExternal,
	})
	if err != nil {
		return nil, err // not r: a nil *Router is not a nil exchange
	}
	return r, nil
}

func (n *Node) newBaseline(url string, reg *registry.Registry) (exchange, error) {
	o := &n.opts
	r, err := baseline.New(baseline.Options{
		NodeID: n.id, URL: url, Version: o.Version, Redis: o.Redis, Registry: reg,
		Delivery: o.Delivery, Duplicates: o.Duplicates,
		MessageTimeout: o.MessageTimeout, MaxPendingBytes: o.MaxPendingBytes, MaxClientSessions: o.MaxClientSessions,
		Gather: n.gather, Metrics: n.metrics.Router, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// gather is told when a router begins and ends to deliver what came together. The engine is made
// after the router.
func (n *Node) gather(on bool) { n.engine.gather(on) }
