package router

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
	"github.com/beeline-ws/beeline/router/link"
)

// cluster is some nodes around one Redis.
type cluster struct {
	t      testing.TB
	redis  *redistest.Server // nil: a Redis Cluster
	client redis.UniversalClient
	prefix string
	nodes  []*testNode
}

func (c *cluster) node(i int) *testNode { return c.nodes[i] }

// newCluster starts n nodes with a key prefix of their own on the tests' Redis.
func newCluster(t testing.TB, n int, change func(*Options)) *cluster {
	s := redistest.Start(t)
	return clusterOn(t, calmHeartbeat, s, s.Prefix, func() redis.UniversalClient { return s.Client(t) }, n, change)
}

// newHastyCluster is newCluster with node leases that end soon.
func newHastyCluster(t testing.TB, n int, change func(*Options)) *cluster {
	s := redistest.Start(t)
	return clusterOn(t, shortHeartbeat, s, s.Prefix, func() redis.UniversalClient { return s.Client(t) }, n, change)
}

// newOwnCluster starts n nodes on a Redis that the test may harm.
func newOwnCluster(t testing.TB, n int, change func(*Options)) *cluster {
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	return clusterOn(t, shortHeartbeat, s, s.Prefix, func() redis.UniversalClient { return s.Client(t) }, n, change)
}

// newShardedCluster starts n nodes on a Redis Cluster of three masters.
func newShardedCluster(t testing.TB, n int, change func(*Options)) *cluster {
	rc := redistest.StartCluster(t)
	return clusterOn(t, calmHeartbeat, nil, rc.Prefix, func() redis.UniversalClient { return rc.Client(t) }, n, change)
}

func clusterOn(t testing.TB, heartbeat time.Duration, server *redistest.Server, prefix string, dial func() redis.UniversalClient, n int, change func(*Options)) *cluster {
	t.Helper()
	c := &cluster{t: t, redis: server, client: dial(), prefix: prefix}
	for i := range n {
		c.nodes = append(c.nodes, startNode(t, fmt.Sprintf("n%d", i), dial(), prefix, heartbeat, change))
	}
	return c
}

func (c *cluster) owners(address string) []registry.Owner {
	c.t.Helper()
	owners, err := c.nodes[0].reg.Lookup(context.Background(), address)
	if err != nil {
		c.t.Fatal(err)
	}
	return owners
}

func (c *cluster) wasted() (sum float64) {
	for _, n := range c.nodes {
		sum += n.wasted()
	}
	return sum
}

// resent counts the envelopes that all nodes published again.
func (c *cluster) resent() (sum float64) {
	for _, n := range c.nodes {
		sum += testutil.ToFloat64(n.m.Router.LinkResends)
	}
	return sum
}

// published counts the message envelopes that all nodes published.
func (c *cluster) published() (sum float64) {
	for _, n := range c.nodes {
		sum += testutil.ToFloat64(n.published[link.KindMessage])
	}
	return sum
}
