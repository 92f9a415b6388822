package redisproc

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

// Slot returns the slot of a key or channel.
func (c *Cluster) Slot(ctx context.Context, key string) (slot int, err error) {
	err = c.Servers[0].with(func(client *redis.Client) error {
		n, err := client.ClusterKeySlot(ctx, key).Result()
		slot = int(n)
		return err
	})
	return slot, err
}

// Master returns the master that serves a slot, once there is one.
func (c *Cluster) Master(ctx context.Context, slot int) (*Server, error) {
	master, _, err := c.shard(ctx, slot, func(master, _ *Server) bool { return master != nil })
	return master, err
}

// pair finds the servers of the shard that serves slot, once it has a master and a
// replica.
func (c *Cluster) pair(ctx context.Context, slot int) (master, replica *Server, err error) {
	return c.shard(ctx, slot, func(master, replica *Server) bool { return master != nil && replica != nil })
}

// shard finds the servers of the shard that serves slot, once they are enough.
func (c *Cluster) shard(ctx context.Context, slot int, enough func(master, replica *Server) bool) (master, replica *Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		list, err := c.layout(ctx)
		if err != nil {
			return nil, nil, err
		}
		if master, replica = c.serving(list, slot); enough(master, replica) {
			return master, replica, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("slot %d of the Redis Cluster has no master, or its master no replica: %w", slot, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

func (c *Cluster) serving(list []redis.ClusterShard, slot int) (master, replica *Server) {
	for _, shard := range list {
		for _, span := range shard.Slots {
			if int64(slot) >= span.Start && int64(slot) <= span.End {
				m, replicas := online(shard)
				if len(replicas) > 0 {
					replica = c.at(replicas[0])
				}
				return c.at(m), replica
			}
		}
	}
	return nil, nil
}

// layout asks a server who serves what.
func (c *Cluster) layout(ctx context.Context) (list []redis.ClusterShard, err error) {
	for _, r := range c.Servers {
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

func (c *Cluster) at(addr string) *Server {
	i := slices.IndexFunc(c.Servers, func(r *Server) bool { return r.Addr == addr })
	if i < 0 {
		return nil
	}
	return c.Servers[i]
}

// agreed waits until all servers name the same masters and replicas for all slots.
func (c *Cluster) agreed(ctx context.Context) error {
	return c.Servers[0].Await(ctx, "it agrees with the others", func(ctx context.Context, client *redis.Client) bool {
		list, err := client.ClusterShards(ctx).Result()
		view := c.viewOf(list)
		for _, r := range c.Servers[1:] {
			other := r.with(func(client *redis.Client) error {
				list, err := client.ClusterShards(ctx).Result()
				if err == nil && c.viewOf(list) != view {
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

// viewOf says who serves what; it is empty while a server is missing.
func (c *Cluster) viewOf(list []redis.ClusterShard) string {
	var lines []string
	servers := 0
	for _, shard := range list {
		master, replicas := online(shard)
		if master == "" {
			return ""
		}
		servers += 1 + len(replicas)
		slices.Sort(replicas)
		slices.SortFunc(shard.Slots, func(a, b redis.SlotRange) int { return int(a.Start - b.Start) })
		lines = append(lines, fmt.Sprint(master, replicas, shard.Slots))
	}
	if servers != len(c.Servers) {
		return ""
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// online finds the addresses of a shard's servers that work.
func online(shard redis.ClusterShard) (master string, replicas []string) {
	for _, n := range shard.Nodes {
		addr := net.JoinHostPort(n.IP, strconv.FormatInt(n.Port, 10))
		switch {
		case n.Health != "online":
		case n.Role == "master":
			master = addr
		default:
			replicas = append(replicas, addr)
		}
	}
	return master, replicas
}
