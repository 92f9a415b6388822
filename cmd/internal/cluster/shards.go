package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// agreed waits until all servers name the same masters and replicas for all slots.
func (c *RedisCluster) agreed(ctx context.Context) error {
	return c.servers[0].await(ctx, "it agrees with the others", func(ctx context.Context, client *redis.Client) bool {
		list, err := client.ClusterShards(ctx).Result()
		view := viewOf(list)
		for _, r := range c.servers[1:] {
			other := r.with(func(client *redis.Client) error {
				list, err := client.ClusterShards(ctx).Result()
				if err == nil && viewOf(list) != view {
					err = errDisagree
				}
				return err
			})
			err = errors.Join(err, other)
		}
		return err == nil && view != ""
	})
}

var errDisagree = errors.New("the servers name different masters")

// viewOf says who serves what; it is empty while a shard has no replica.
func viewOf(list []redis.ClusterShard) string {
	var lines []string
	for _, shard := range list {
		master, replica := parts(shard)
		if master == "" || replica == "" {
			return ""
		}
		slices.SortFunc(shard.Slots, func(a, b redis.SlotRange) int { return int(a.Start - b.Start) })
		lines = append(lines, fmt.Sprint(master, replica, shard.Slots))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// parts finds the addresses of a shard's servers that work.
func parts(shard redis.ClusterShard) (master, replica string) {
	for _, n := range shard.Nodes {
		addr := net.JoinHostPort(n.IP, strconv.FormatInt(n.Port, 10))
		switch {
		case n.Health != "online":
		case n.Role == "master":
			master = addr
		default:
			replica = addr
		}
	}
	return master, replica
}

// shard finds the servers of the shard that serves slot, once it is known who they
// are.
func (c *RedisCluster) shard(ctx context.Context, slot int) (master, replica *Redis, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		list, err := c.layout(ctx)
		if err != nil {
			return nil, nil, err
		}
		if master, replica = c.serving(list, slot); master != nil && replica != nil {
			return master, replica, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("slot %d of the Redis Cluster has no master with a replica: %w", slot, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *RedisCluster) serving(list []redis.ClusterShard, slot int) (master, replica *Redis) {
	for _, shard := range list {
		for _, span := range shard.Slots {
			if int64(slot) >= span.Start && int64(slot) <= span.End {
				m, r := parts(shard)
				return c.at(m), c.at(r)
			}
		}
	}
	return nil, nil
}

// layout asks a server who serves what.
func (c *RedisCluster) layout(ctx context.Context) (list []redis.ClusterShard, err error) {
	for _, r := range c.servers {
		err = r.with(func(client *redis.Client) (err error) {
			list, err = client.ClusterShards(ctx).Result()
			return err
		})
		if err == nil {
			return list, nil
		}
	}
	return nil, fmt.Errorf("ask the Redis Cluster for its slots: %w", err)
}

func (c *RedisCluster) at(addr string) *Redis {
	for _, r := range c.servers {
		if r.Addr == addr {
			return r
		}
	}
	return nil
}
