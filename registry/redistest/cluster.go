package redistest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// hastyTimeout is the silence after which a killed server of a Cluster is taken for
// dead: a test waits for it.
const hastyTimeout = 2 * time.Second

// Cluster is a Redis Cluster of three masters, or a test's share of one.
type Cluster struct {
	Addrs  []string
	Prefix string // for keys and channels; no other test of the process has it
	// Servers are the masters, for Kill, Pause and the like; nil if shared.
	Servers []*Server

	t testing.TB
	p *redisproc.Cluster
}

// StartCluster returns the Cluster that the process's tests share.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	p, err := sharedCluster()
	return newCluster(t, started(t, p, err))
}

// StartOwnCluster starts a Cluster that ends with the test.
func StartOwnCluster(t testing.TB) *Cluster {
	t.Helper()
	p, err := redisproc.StartCluster(t.Context(), t.TempDir(), calmTimeout)
	c := newCluster(t, started(t, p, err))
	t.Cleanup(p.Kill)
	must(t, awaitUptime(p))
	for _, r := range p.Servers {
		c.Servers = append(c.Servers, &Server{Addr: r.Addr, Prefix: c.Prefix, t: t, own: true, p: r})
	}
	return c
}

func newCluster(t testing.TB, p *redisproc.Cluster) *Cluster {
	c := &Cluster{Prefix: newPrefix(), t: t, p: p}
	for _, r := range p.Servers {
		c.Addrs = append(c.Addrs, r.Addr)
	}
	return c
}

// URL returns the Cluster's URL, in the form of registry.Connect.
func (c *Cluster) URL() string { return c.p.URL }

// Client returns a client that is closed when t ends. It has go-redis' own timeouts.
func (c *Cluster) Client(t testing.TB) *redis.ClusterClient { return c.client(t, 0) }

// PatientClient is Client, but commands end with their context, or when the connection
// does, and not because the machine stood still.
func (c *Cluster) PatientClient(t testing.TB) *redis.ClusterClient { return c.client(t, patience) }

func (c *Cluster) client(t testing.TB, timeout time.Duration) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: slices.Clone(c.Addrs), DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// MasterOf returns the master that has a key, and its slot.
func (c *Cluster) MasterOf(key string) (master *Server, slot int) {
	c.t.Helper()
	slot, err := c.p.Slot(context.Background(), key)
	must(c.t, err)
	p, err := c.p.Master(context.Background(), slot)
	must(c.t, err)
	return c.Servers[slices.IndexFunc(c.Servers, func(s *Server) bool { return s.p == p })], slot
}

// AddReplica starts a replica of a master and returns when it can take over.
func (c *Cluster) AddReplica(master *Server) {
	c.t.Helper()
	_, err := c.p.AddReplica(c.t.Context(), master.p)
	must(c.t, err)
}

// Failover makes the replica of the shard that has a slot its master, in the orderly
// way: no write is lost.
func (c *Cluster) Failover(slot int) {
	c.t.Helper()
	must(c.t, c.p.Failover(context.Background(), slot))
}

// KillMaster ends the master that has a slot, and returns when the other masters have
// found that out and made its replica the master.
func (c *Cluster) KillMaster(slot int) {
	c.t.Helper()
	ctx := context.Background()
	must(c.t, c.p.SetNodeTimeout(ctx, hastyTimeout))
	must(c.t, c.p.KillMaster(ctx, slot))
	must(c.t, c.p.SetNodeTimeout(ctx, calmTimeout))
}

// MigrateSlot moves a slot to another master, key by key. between is called when half
// of it is done.
func (c *Cluster) MigrateSlot(slot int, to *Server, between func()) {
	c.t.Helper()
	_, err := c.p.Migrate(context.Background(), slot, to.p, func() error { between(); return nil })
	must(c.t, err)
}
