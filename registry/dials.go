package registry

import (
	"context"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// dials counts the connections that a client opens.
type dials struct{ prometheus.Counter }

// countDials hooks d in. A Cluster's client dials through a client for each node.
func countDials(client redis.UniversalClient, d dials) {
	if cluster, ok := client.(*redis.ClusterClient); ok {
		cluster.OnNewNode(func(node *redis.Client) { node.AddHook(d) })
		return
	}
	client.AddHook(d)
}

// DialHook counts the attempts that succeed.
func (d dials) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err == nil {
			d.Inc()
		}
		return conn, err
	}
}

// ProcessHook changes nothing.
func (dials) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook changes nothing.
func (dials) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
