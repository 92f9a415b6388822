package redistest

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Cluster is a Redis Cluster of three masters, or a test's share of one.
type Cluster struct {
	Addrs  []string
	Prefix string // for keys and channels; no other test of the process has it
	// Servers are the masters, for Kill, Pause and the like; nil if shared.
	Servers []*Server
}

// A server of a Cluster that does not answer for so many milliseconds is taken for
// dead: not because the machine stood still, and soon where a test wants that.
const calmClusterTimeout, hastyClusterTimeout = "60000", "2000"

var sharedCluster = sync.OnceValues(launchCluster)

// StartCluster returns the Cluster that the process's tests share.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	binary(t)
	masters, err := sharedCluster()
	if err != nil {
		t.Fatal(err)
	}
	return &Cluster{Addrs: addrs(masters), Prefix: newPrefix()}
}

// StartOwnCluster starts a Cluster that ends with the test.
func StartOwnCluster(t testing.TB) *Cluster {
	t.Helper()
	binary(t)
	masters, err := launchCluster()
	for _, p := range masters {
		t.Cleanup(p.kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Addrs: addrs(masters), Prefix: newPrefix()}
	for _, p := range masters {
		c.Servers = append(c.Servers, &Server{Addr: p.addr, Prefix: c.Prefix, t: t, own: true, p: p})
	}
	return c
}

func launchCluster() (masters []*process, err error) {
	slots := [][2]int{{0, 5460}, {5461, 10922}, {10923, 16383}}
	for range slots {
		p, err := launch("redis-server", "--cluster-enabled", "yes", "--cluster-node-timeout", calmClusterTimeout)
		if err != nil {
			return masters, err
		}
		masters = append(masters, p)
	}
	ctx := context.Background()
	for i, p := range masters {
		c := p.client()
		defer func() { _ = c.Close() }()
		if err := c.ClusterAddSlotsRange(ctx, slots[i][0], slots[i][1]).Err(); err != nil {
			return masters, err
		}
		if err := c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return masters, err
		}
	}
	for _, p := range masters[1:] {
		c := masters[0].client()
		defer func() { _ = c.Close() }()
		host, port, _ := net.SplitHostPort(p.addr)
		if err := c.ClusterMeet(ctx, host, port).Err(); err != nil {
			return masters, err
		}
	}
	for _, p := range masters {
		err := p.await("the Cluster is whole", func(ctx context.Context, c *redis.Client) bool {
			info, err := c.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_size:3") &&
				upForASecond(ctx, c)
		})
		if err != nil {
			return masters, err
		}
	}
	return masters, nil
}

func addrs(ps []*process) (list []string) {
	for _, p := range ps {
		list = append(list, p.addr)
	}
	return list
}

// URL returns the Cluster's URL, in the form of registry.Connect.
func (c *Cluster) URL() string { return "redis+cluster://" + strings.Join(c.Addrs, ",") }

// Client returns a client that is closed when t ends. It has go-redis' own timeouts.
func (c *Cluster) Client(t testing.TB) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: slices.Clone(c.Addrs), DisableIdentity: true, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// PatientClient is Client, but commands end with their context, or when the connection
// does, and not because the machine stood still.
func (c *Cluster) PatientClient(t testing.TB) *redis.ClusterClient {
	t.Helper()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: slices.Clone(c.Addrs), DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience})
	t.Cleanup(func() { _ = client.Close() })
	return client
}
