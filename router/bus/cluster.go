package bus

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
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

// server is a master that this node publishes to.
type server struct {
	conn    *publishConn // nil while it is dialed
	waiting []string     // sought channels that are to be placed there then
}

func newCluster(o *Options, client *redis.ClusterClient) *cluster {
	k := &cluster{
		client: client, find: make(chan struct{}, 1), placed: make(map[string]*publishConn),
		sought: make(map[string]struct{}), servers: make(map[string]*server),
	}
	k.init(o, k)
	return k
}

// Run finds the connections of the channels that are sought: see Bus.
func (k *cluster) Run(ctx context.Context) {
	defer k.end(ctx)
	for ctx.Err() == nil {
		channels, moved := k.takeMissing()
		if moved {
			k.reload(ctx)
		}
		for _, channel := range channels {
			k.findMaster(ctx, channel)
		}
		k.Flush()
		select {
		case <-k.find:
		case <-ctx.Done():
		}
	}
}

func (k *cluster) takeMissing() (channels []string, moved bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.connLocked(k.o.Home) // has it sought if need be
	channels, k.missing = k.missing, nil
	moved, k.moved = k.moved, false
	return channels, moved
}

// reload has go-redis ask who has which slots, and waits for the answer.
func (k *cluster) reload(ctx context.Context) {
	sleep(ctx, reloadInterval-time.Since(k.asked))
	k.asked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	// ForEachMaster asks before it goes through the masters.
	if err := k.client.ForEachMaster(ctx, func(context.Context, *redis.Client) error { return nil }); err != nil {
		k.o.Logger.Debug("asking for the Cluster's slots failed", "error", err)
	}
}

// findMaster places a channel at its master, which is dialed if need be.
func (k *cluster) findMaster(ctx context.Context, channel string) {
	addr, err := k.o.Connections.MasterAddr(ctx, channel)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.startLocked(func() { k.findAgain(ctx, channel, err) })
		return
	}
	s := k.servers[addr]
	if s == nil {
		s = new(server)
		k.servers[addr] = s
		k.startLocked(func() { k.serve(ctx, s, addr, channel) })
	}
	if s.conn == nil || s.conn.ended {
		s.waiting = append(s.waiting, channel)
		return
	}
	k.placeLocked(channel, s.conn)
}

// findAgain has a channel looked for again, after a while, whose master is not known.
func (k *cluster) findAgain(ctx context.Context, channel string, why error) {
	if ctx.Err() == nil {
		k.o.Connections.Failed(redisconn.Publishing, why)
	}
	sleep(ctx, findRetry)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.moved = true
	k.missing = append(k.missing, channel)
	k.wake()
}

// serve dials a master, and returns when the connection has ended, or none has come about.
func (k *cluster) serve(ctx context.Context, s *server, addr, channel string) {
	conn, err := k.dial(ctx, channel)
	switch {
	case err != nil:
	case conn.Server() != addr: // the slot has just moved
		_ = conn.Close()
	default:
		c := k.open(conn, func(c *publishConn) {
			s.conn = c
			for _, channel := range s.waiting {
				k.placeLocked(channel, c)
			}
			s.waiting = nil
		})
		k.o.Connections.Works(redisconn.Publishing)
		select {
		case <-c.over:
			err = c.why
		case <-ctx.Done():
		}
	}
	if err != nil && ctx.Err() == nil {
		k.o.Connections.Failed(redisconn.Publishing, err)
		if s.conn == nil {
			sleep(ctx, findRetry)
		}
	}
	k.leave(s, addr)
}

func (k *cluster) dial(ctx context.Context, channel string) (*redisconn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	return k.o.Connections.Dial(ctx, channel)
}

// leave forgets a master that there is no connection to. Those of its channels that wait are
// sought again.
func (k *cluster) leave(s *server, addr string) {
	k.mu.Lock()
	delete(k.servers, addr)
	k.moved = true
	for channel, c := range k.placed {
		if c == s.conn {
			delete(k.placed, channel)
		}
	}
	k.missing = append(k.missing, s.waiting...)
	k.mu.Unlock()
	k.wake() // at least for the home channel
}

func (k *cluster) placeLocked(channel string, c *publishConn) {
	if len(k.placed) >= maxPlaced {
		clear(k.placed)
	}
	k.placed[channel] = c
	delete(k.sought, channel)
}

// seekLocked has a channel sought. Beyond maxPlaced it stays unknown, until somebody wants to
// publish on it again.
func (k *cluster) seekLocked(channel string) {
	if _, ok := k.sought[channel]; ok || len(k.sought) >= maxPlaced {
		return
	}
	k.sought[channel] = struct{}{}
	k.missing = append(k.missing, channel)
	k.wake()
}

func (k *cluster) wake() {
	select {
	case k.find <- struct{}{}:
	default:
	}
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

func (k *cluster) refusedLocked(b *sentBatch, answer string) error {
	if !strings.HasPrefix(answer, "MOVED ") {
		err := errors.New(answer)
		k.refuseLocked(err)
		return err
	}
	delete(k.placed, b.channel)
	k.moved = true
	return ErrMoved
}

func (*cluster) command() string { return "SPUBLISH" }

// Publish publishes by way of the client's pools: see Bus.
func (k *cluster) Publish(ctx context.Context, p Publication) (int64, error) {
	k.poll()
	return k.client.SPublish(ctx, p.Channel, p.Payload).Result()
}

// PublishAll publishes all in pipelines, one for each master: see Bus.
func (k *cluster) PublishAll(ctx context.Context, all []Publication) []Result {
	pipe := k.client.Pipeline()
	replies := make([]*redis.IntCmd, len(all))
	for i := range all {
		replies[i] = pipe.SPublish(ctx, all[i].Channel, all[i].Payload)
	}
	_, _ = pipe.Exec(ctx) // each command has an error of its own
	return resultsOf(all, replies)
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
