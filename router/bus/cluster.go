package bus

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// cluster is the bus of a Redis Cluster. Its private channels are sharded.
type cluster struct {
	o      *Options
	client *redis.ClusterClient
	work   chan struct{}
}

func newCluster(o *Options, client *redis.ClusterClient) *cluster {
	return &cluster{o: o, client: client, work: make(chan struct{}, 1)}
}

// Run publishes in pipelines, one at a time: see Bus.
func (c *cluster) Run(ctx context.Context) {
	for {
		select {
		case <-c.work:
		case <-ctx.Done():
			return
		}
		var batches collector
		if c.o.Source.Batches(&batches) {
			c.Flush()
		}
		if len(batches.all) > 0 {
			c.o.Source.Published(c.PublishAll(ctx, batches.all))
		}
	}
}

// Flush wakes Run: see Bus.
func (c *cluster) Flush() {
	select {
	case c.work <- struct{}{}:
	default:
	}
}

// Publish publishes by way of the client's pools: see Bus.
func (c *cluster) Publish(ctx context.Context, p Publication) (int64, error) {
	if p.Global {
		_, err := c.client.Publish(ctx, p.Channel, p.Payload).Result()
		return Unknown, err
	}
	return c.client.SPublish(ctx, p.Channel, p.Payload).Result()
}

// PublishAll publishes all in pipelines, one for each master: see Bus.
func (c *cluster) PublishAll(ctx context.Context, all []Publication) []Result {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	sharded := c.client.Pipeline()
	global := sharded
	if master, err := c.client.MasterForKey(ctx, c.o.GlobalChannel); err == nil {
		global = master.Pipeline()
	}
	replies := make([]*redis.IntCmd, len(all))
	for i := range all {
		if all[i].Global {
			replies[i] = global.Publish(ctx, all[i].Channel, all[i].Payload)
		} else {
			replies[i] = sharded.SPublish(ctx, all[i].Channel, all[i].Payload)
		}
	}
	for _, pipe := range []redis.Pipeliner{sharded, global} {
		if pipe.Len() > 0 {
			_, _ = pipe.Exec(ctx) // each command has an error of its own
		}
	}
	results := make([]Result, len(all))
	for i := range all {
		n, err := replies[i].Result()
		if all[i].Global {
			n = Unknown
		}
		results[i] = Result{Tag: all[i].Tag, Receivers: n, Err: err}
	}
	return results
}

// Drain publishes what the Source has left: see Bus.
func (c *cluster) Drain(ctx context.Context) { drain(ctx, c, c.o.Source) }

// Subscribe returns a subscription: see Bus.
func (c *cluster) Subscribe(channel string, l Listener) Subscription {
	sub := c.o.newSubscription(channel, l)
	sub.subscribe = func(ctx context.Context) *redis.PubSub { return c.client.SSubscribe(ctx, channel) }
	// The slot may have moved, and a refused SSUBSCRIBE alone does not make go-redis look.
	sub.follow = c.client.ReloadState
	sub.ended = func() {}
	return sub
}

// ResetPublishing does nothing: the pools follow the masters.
func (c *cluster) ResetPublishing(string, error) {}

// Reset makes all connections to a channel's master anew: see Bus.
func (c *cluster) Reset(ctx context.Context, channel string, since time.Time, why error) {
	c.o.Connections.Redial(ctx, channel, since, why.Error())
}

// Blocked returns 0: heartbeats prove that the pools work.
func (c *cluster) Blocked() time.Duration { return 0 }
