package redisproc

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// SetNodeTimeout sets the silence after which a server counts as failed, at all servers
// that run.
func (c *Cluster) SetNodeTimeout(ctx context.Context, timeout time.Duration) error {
	c.nodeTimeout = timeout
	for _, r := range c.Servers {
		if r.Ended() {
			continue
		}
		if _, err := r.Do(ctx, "CONFIG", "SET", "cluster-node-timeout", milliseconds(timeout)); err != nil {
			return err
		}
	}
	return nil
}

// Failover makes the replica of a shard its master, without a loss; the shard is
// the one that serves slot.
func (c *Cluster) Failover(ctx context.Context, slot int) error {
	if err := c.Mend(ctx); err != nil {
		return err
	}
	_, replica, err := c.pair(ctx, slot)
	if err != nil {
		return err
	}
	return replica.Await(ctx, "it takes over", func(ctx context.Context, client *redis.Client) bool {
		_ = client.Do(ctx, "CLUSTER", "FAILOVER").Err() // asked again if it was given up
		return eventually(ctx, func() bool { return isMaster(ctx, client) })
	})
}

// KillMaster ends the master of the shard that serves slot, and returns when its
// replica has taken over. What was killed is still to be mended.
func (c *Cluster) KillMaster(ctx context.Context, slot int) error {
	if err := c.Mend(ctx); err != nil {
		return err
	}
	master, replica, err := c.pair(ctx, slot)
	if err != nil {
		return err
	}
	master.Kill()
	return replica.AwaitMaster(ctx)
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
		case <-time.After(pollEvery):
		}
	}
	return false
}
