package redisproc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"
)

// migrateBatch is how many keys of a slot move at a time.
const migrateBatch = 10

// Migrate moves a slot to another master while it is in use, key by key, as
// `redis-cli --cluster reshard` does. between is called when the first keys have moved:
// then the slot has two masters. Migrate returns the one that had it.
func (c *Cluster) Migrate(ctx context.Context, slot int, to *Server, between func() error) (from *Server, err error) {
	if from, err = c.Master(ctx, slot); err != nil {
		return nil, err
	}
	if from == to {
		return nil, fmt.Errorf("slot %d is on %s already", slot, to.Addr)
	}
	fromID, err := from.clusterID(ctx)
	if err != nil {
		return nil, err
	}
	toID, err := to.clusterID(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID); err != nil {
		return nil, err
	}
	if _, err := from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", toID); err != nil {
		return nil, err
	}
	if err := from.with(func(client *redis.Client) error { return moveKeys(ctx, client, slot, to.Addr, between) }); err != nil {
		return nil, err
	}
	return from, c.assign(ctx, slot, from, to, toID)
}

// moveKeys migrates all keys of a slot, and calls between after the first ones.
func moveKeys(ctx context.Context, source *redis.Client, slot int, target string, between func() error) error {
	host, port, _ := net.SplitHostPort(target)
	for first := true; ; first = false {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, migrateBatch).Result()
		if err != nil || len(keys) == 0 && !first {
			return err
		}
		args := []any{"MIGRATE", host, port, "", 0, settleTime.Milliseconds(), "REPLACE", "KEYS"}
		for _, key := range keys {
			args = append(args, key)
		}
		if len(keys) > 0 {
			err = source.Do(ctx, args...).Err()
		}
		if err != nil {
			return fmt.Errorf("migrate %q: %w", keys, err)
		}
		if !first {
			continue
		}
		if err := between(); err != nil {
			return err
		}
	}
}

// assign tells all masters who serves the slot now, the new one first. Replicas learn
// that from their masters.
func (c *Cluster) assign(ctx context.Context, slot int, from, to *Server, toID string) error {
	for _, r := range append([]*Server{to, from}, c.Servers...) {
		if r.Ended() {
			continue
		}
		err := r.with(func(client *redis.Client) error {
			err := client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", toID).Err()
			if err != nil && infoContains(ctx, client, "replication", "role:slave") {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// OtherMaster returns a master that does not serve the slot.
func (c *Cluster) OtherMaster(ctx context.Context, slot int) (*Server, error) {
	serves, err := c.Master(ctx, slot)
	if err != nil {
		return nil, err
	}
	list, err := c.layout(ctx)
	if err != nil {
		return nil, err
	}
	for _, shard := range list {
		addr, _ := online(shard)
		if r := c.at(addr); r != nil && r != serves {
			return r, nil
		}
	}
	return nil, errors.New("the Redis Cluster has no other master")
}
