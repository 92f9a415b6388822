package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// shards is how many masters a Redis Cluster has; each has one replica.
const shards = 3

const slotCount = 16384

// RedisCluster is a Redis Cluster of three masters and three replicas. One
// goroutine at a time calls its methods.
type RedisCluster struct {
	URL string // redis+cluster://…, for nodes

	servers []*Redis
}

// StartRedisCluster starts the servers in dir, which must exist, and returns once
// every replica can take over. nodeTimeout is the silence after which a server
// counts as failed.
func StartRedisCluster(ctx context.Context, dir string, nodeTimeout time.Duration) (_ *RedisCluster, err error) {
	c := &RedisCluster{}
	defer func() {
		if err != nil {
			c.Kill()
		}
	}()
	var addrs []string
	for i := range 2 * shards {
		r, err := startMember(ctx, filepath.Join(dir, strconv.Itoa(i)), nodeTimeout)
		if err != nil {
			return nil, err
		}
		c.servers = append(c.servers, r)
		addrs = append(addrs, r.Addr)
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	if err := c.join(ctx); err != nil {
		return nil, err
	}
	return c, c.Mend(ctx)
}

func startMember(ctx context.Context, dir string, nodeTimeout time.Duration) (*Redis, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	bus, err := freePort()
	if err != nil {
		return nil, err
	}
	args := append(replicationArgs(), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus),
		"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10),
		"--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no")
	return StartRedis(ctx, dir, args...)
}

// join makes one Cluster of the servers: the first are the masters.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, r := range c.servers {
		err := r.with(func(client *redis.Client) error {
			if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
				return err
			}
			if i > 0 {
				return c.meet(ctx, client)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i, r := range c.servers[:shards] {
		err := r.with(func(client *redis.Client) error {
			return client.ClusterAddSlotsRange(ctx, i*slotCount/shards, (i+1)*slotCount/shards-1).Err()
		})
		if err != nil {
			return err
		}
	}
	for i, r := range c.servers[shards:] {
		id, err := c.servers[i].id(ctx)
		if err != nil {
			return err
		}
		err = r.await(ctx, "it replicates a master", func(ctx context.Context, client *redis.Client) bool {
			return client.ClusterReplicate(ctx, id).Err() == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// meet introduces the server behind client to the first one.
func (c *RedisCluster) meet(ctx context.Context, client *redis.Client) error {
	first := c.servers[0]
	host, port, _ := net.SplitHostPort(first.Addr)
	bus := first.args[len(first.args)-1]
	for i, arg := range first.args {
		if arg == "--cluster-port" {
			bus = first.args[i+1]
		}
	}
	return client.Do(ctx, "CLUSTER", "MEET", host, port, bus).Err()
}

// Mend starts servers again that have ended, and waits until all agree that all
// slots are served, and every master has a replica that is in step.
func (c *RedisCluster) Mend(ctx context.Context) error {
	for _, r := range c.servers {
		if r.ended() {
			if err := r.Restart(ctx); err != nil {
				return err
			}
		}
	}
	for _, r := range c.servers {
		err := r.await(ctx, "it sees the whole Cluster", func(ctx context.Context, client *redis.Client) bool {
			info, err := client.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") ||
				!strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(2*shards)) ||
				!strings.Contains(info, "cluster_slots_pfail:0") || !strings.Contains(info, "cluster_slots_fail:0") {
				return false
			}
			return says(ctx, client, "replication", "role:slave") && inStep(ctx, client) || feeds(ctx, client)
		})
		if err != nil {
			return err
		}
	}
	return c.agreed(ctx)
}

// Failover makes the replica of a shard its master, without a loss; the shard is
// the one that serves slot.
func (c *RedisCluster) Failover(ctx context.Context, slot int) error {
	if err := c.Mend(ctx); err != nil {
		return err
	}
	_, replica, err := c.shard(ctx, slot)
	if err != nil {
		return err
	}
	return replica.await(ctx, "it takes over", func(ctx context.Context, client *redis.Client) bool {
		_ = client.Do(ctx, "CLUSTER", "FAILOVER").Err() // asked again if it was given up
		return eventually(ctx, func() bool { return says(ctx, client, "replication", "role:master") })
	})
}

// KillMaster ends the master of the shard that serves slot, and returns when its
// replica has taken over. What was killed is still to be mended.
func (c *RedisCluster) KillMaster(ctx context.Context, slot int) error {
	if err := c.Mend(ctx); err != nil {
		return err
	}
	master, replica, err := c.shard(ctx, slot)
	if err != nil {
		return err
	}
	master.Kill()
	return replica.await(ctx, "it takes over", func(ctx context.Context, client *redis.Client) bool {
		return says(ctx, client, "replication", "role:master")
	})
}

// eventually asks ok for half a second.
func eventually(ctx context.Context, ok func() bool) bool {
	for range 50 {
		if ok() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

// Kill ends all servers.
func (c *RedisCluster) Kill() {
	for _, r := range c.servers {
		if r.Process != nil {
			r.Kill()
		}
	}
}

// with calls f with a client of the server.
func (r *Redis) with(f func(*redis.Client) error) error {
	client := r.client()
	defer client.Close()
	if err := f(client); err != nil {
		return fmt.Errorf("%s %s: %w", r.Name, r.Addr, err)
	}
	return nil
}

// id is the name of a Cluster's server within it.
func (r *Redis) id(ctx context.Context) (id string, err error) {
	err = r.with(func(client *redis.Client) (err error) {
		id, err = client.ClusterMyID(ctx).Result()
		return err
	})
	return id, err
}
