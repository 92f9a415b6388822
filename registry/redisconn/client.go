package redisconn

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Options configures a Client. All but Logger are required.
type Options struct {
	Redis   redis.UniversalClient // see Connect. A Cluster's client must be unused
	Prefix  string                // of keys and channels, for advice about rights
	Scripts []*Script             // that Run may be given
	Dials   prometheus.Counter    // connections that were opened
	Up      prometheus.Gauge      // 1 while Redis works for this node, else 0
	Logger  *slog.Logger          // default: discard
}

// Client is a go-redis client whose connections are known. It is safe for concurrent use.
type Client struct {
	rdb      redis.UniversalClient
	cluster  *redis.ClusterClient // the same; nil outside Cluster
	prefix   string
	scripts  []*Script
	log      *slog.Logger
	conns    *connections
	slots    *slotWatch
	refusals refusals
	outage   *outage
}

// New returns a Client around opts.Redis, which it watches from then on. The caller closes
// opts.Redis.
func New(opts Options) *Client {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	cluster, _ := opts.Redis.(*redis.ClusterClient)
	c := &Client{
		rdb:     opts.Redis,
		cluster: cluster,
		prefix:  opts.Prefix,
		scripts: opts.Scripts,
		log:     opts.Logger,
		conns:   newConnections(opts.Dials),
		slots:   new(slotWatch),
		outage:  newOutage(opts.Logger, opts.Up, opts.Prefix),
	}
	c.hookConnections()
	watchSlots(c.rdb, c.slots)
	return c
}

// IsCluster reports whether it is the client of a Cluster.
func (c *Client) IsCluster() bool { return c.cluster != nil }

// EachMaster calls f with every master, in a Cluster from several goroutines at once.
func (c *Client) EachMaster(ctx context.Context, f func(context.Context, redis.UniversalClient) error) error {
	if c.cluster == nil {
		return f(ctx, c.rdb)
	}
	return c.cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		return f(ctx, master)
	})
}

// MasterOf returns the master that holds key.
func (c *Client) MasterOf(ctx context.Context, key string) (redis.UniversalClient, error) {
	if c.cluster == nil {
		return c.rdb, nil
	}
	return c.cluster.MasterForKey(ctx, key)
}

// MasterAddrs returns the addresses of all masters; outside Cluster there is none.
func (c *Client) MasterAddrs(ctx context.Context) (addrs []string, err error) {
	if c.cluster == nil {
		return nil, nil
	}
	var mu sync.Mutex
	err = c.cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		addrs = append(addrs, master.Options().Addr)
		return nil
	})
	return addrs, err
}

// MasterAddr returns the address of the master that holds key; outside Cluster it is empty.
func (c *Client) MasterAddr(ctx context.Context, key string) (string, error) {
	if c.cluster == nil {
		return "", nil
	}
	master, err := c.cluster.MasterForKey(ctx, key)
	if err != nil {
		return "", err
	}
	return master.Options().Addr, nil
}
