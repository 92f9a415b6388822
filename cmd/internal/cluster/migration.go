package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Slot returns the slot of a key or channel.
func (c *RedisCluster) Slot(ctx context.Context, key string) (slot int, err error) {
	err = c.servers[0].with(func(client *redis.Client) error {
		n, err := client.ClusterKeySlot(ctx, key).Result()
		slot = int(n)
		return err
	})
	return slot, err
}

// Migrate moves a slot to another shard while it is in use, key by key, as
// resharding does. While it is under way for at least pause, the slot has two
// masters. It returns the addresses of the old master and the new one.
func (c *RedisCluster) Migrate(ctx context.Context, slot int, pause time.Duration) (from, to string, err error) {
	if err := c.Mend(ctx); err != nil {
		return "", "", err
	}
	source, _, err := c.shard(ctx, slot)
	if err != nil {
		return "", "", err
	}
	target, err := c.otherMaster(ctx, source)
	if err != nil {
		return "", "", err
	}
	sourceID, err := source.id(ctx)
	if err != nil {
		return "", "", err
	}
	targetID, err := target.id(ctx)
	if err != nil {
		return "", "", err
	}
	err = target.with(func(client *redis.Client) error {
		return client.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", sourceID).Err()
	})
	if err != nil {
		return "", "", err
	}
	err = source.with(func(client *redis.Client) error {
		if err := client.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", targetID).Err(); err != nil {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		return moveKeys(ctx, client, slot, target.Addr)
	})
	if err != nil {
		return "", "", err
	}
	return source.Addr, target.Addr, c.give(ctx, slot, targetID, target, source)
}

// otherMaster is the master of another shard.
func (c *RedisCluster) otherMaster(ctx context.Context, than *Redis) (*Redis, error) {
	list, err := c.layout(ctx)
	if err != nil {
		return nil, err
	}
	for _, shard := range list {
		addr, _ := parts(shard)
		if r := c.at(addr); r != nil && r != than {
			return r, nil
		}
	}
	return nil, errors.New("the Redis Cluster has no other master")
}

// moveKeys migrates all keys of a slot.
func moveKeys(ctx context.Context, source *redis.Client, slot int, target string) error {
	host, port, _ := net.SplitHostPort(target)
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 10).Result()
		if err != nil || len(keys) == 0 {
			return err
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "REPLACE", "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := source.Do(ctx, args...).Err(); err != nil {
			return fmt.Errorf("migrate %q: %w", keys, err)
		}
	}
}

// give tells all masters who serves the slot now, the new one first.
func (c *RedisCluster) give(ctx context.Context, slot int, id string, target, source *Redis) error {
	order := []*Redis{target, source}
	for _, r := range c.servers {
		if r != target && r != source {
			order = append(order, r)
		}
	}
	for _, r := range order {
		err := r.with(func(client *redis.Client) error {
			err := client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", id).Err()
			if says(ctx, client, "replication", "role:slave") {
				return nil // it learns from its master
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
