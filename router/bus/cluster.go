package bus

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxPlaced bounds the channels whose connections are known. Beyond it all are forgotten,
	// and found again.
	maxPlaced = 1 << 13
	// reloadInterval is the least time between two questions who has which slots.
	reloadInterval = 25 * time.Millisecond
	// findRetry is the retry delay of a master that can't be found or dialed.
	findRetry = 100 * time.Millisecond
)

// cluster is the bus of a Redis Cluster. It has a connection that publishes for each master
// that it needs. Channels are sharded: SPUBLISH goes to the master of the channel's slot.
//
// A channel is in one of three states:
//
//   - unknown: nobody has published on it yet, or its master has answered MOVED, or the
//     connection to its master has ended. When the Source wants to publish on it, it is sought;
//     the home channel is sought at once.
//   - sought: Run finds out which master has its slot, and serve dials that, if there is no
//     connection yet. If either fails it is sought again after findRetry.
//   - placed: there is a connection to its master.
//
// After MOVED and after the end of a connection the Cluster is asked anew who has which
// slots. What was not published, or is lost, the Source has published again.
type cluster struct {
	publisher
	client *redis.ClusterClient
	find   chan struct{} // wakes Run: channels are missing

	// Guarded by publisher.mu.
	placed  map[string]*publishConn // by channel
	sought  map[string]struct{}     // channels
	missing []string                // of those that are sought, the ones that wait for Run
	servers map[string]*server      // by address: connected, or being dialed
	moved   bool                    // what is known of the slots may be old

	asked time.Time // when Run last asked who has which slots
}

func newCluster(o *Options, client *redis.ClusterClient) *cluster {
	k := &cluster{
		client: client, find: make(chan struct{}, 1), placed: make(map[string]*publishConn),
		sought: make(map[string]struct{}), servers: make(map[string]*server),
	}
	k.init(o, k)
	return k
}

// asksLocked is true: only the Source knows on which channels it wants to publish.
func (*cluster) asksLocked() bool { return true }

func (k *cluster) connLocked(channel string) *publishConn {
	c := k.placed[channel]
	if c == nil || c.ended {
		k.seekLocked(channel)
		return nil
	}
	return c
}

func (k *cluster) refusedLocked(c *publishConn, b *sentBatch, answer string) error {
	if !strings.HasPrefix(answer, "MOVED ") {
		err := errors.New(answer)
		k.refuseLocked(err)
		return err
	}
	if k.placed[b.channel] == c { // and not at another master already
		delete(k.placed, b.channel)
	}
	k.moved = true
	return ErrMoved
}

func (*cluster) command() string { return "SPUBLISH" }

// Publish publishes by way of the client's pools: see Bus. A count of 0 may be that of a
// former master: as a replica it goes on to take SPUBLISH, and counts its own subscribers.
// Nothing else would have go-redis ask for the slots, but every minute.
func (k *cluster) Publish(ctx context.Context, p Publication) (int64, error) {
	k.poll()
	n, err := k.client.SPublish(ctx, p.Channel, p.Payload).Result()
	if n == 0 {
		k.client.ReloadState(ctx)
	}
	return n, err
}

// PublishAll publishes all in pipelines, one for each master: see Bus.
func (k *cluster) PublishAll(ctx context.Context, all []Publication) []Result {
	pipe := k.client.Pipeline()
	return publishAll(ctx, pipe, all, pipe.SPublish)
}

// Drain publishes what the Source has left: see Bus.
func (k *cluster) Drain(ctx context.Context) { drain(ctx, k, k.o.Source) }

// Subscribe returns a subscription of a sharded channel: see Bus.
func (k *cluster) Subscribe(channel string, l Listener) Subscription {
	sub := k.o.newSubscription(channel, l)
	sub.subscribe = func(ctx context.Context) *redis.PubSub { return k.client.SSubscribe(ctx, channel) }
	// The slot may have moved, and a refused SSUBSCRIBE alone does not make go-redis look.
	sub.follow = k.client.ReloadState
	sub.ended = k.poll
	return sub
}

// Reset makes all connections to a channel's master anew: see Bus.
func (k *cluster) Reset(ctx context.Context, channel string, since time.Time, why error) {
	k.o.Connections.Redial(ctx, channel, since, why.Error())
}
