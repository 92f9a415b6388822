package bus

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// single is the bus of one Redis, at a fixed address or wherever Sentinels say.
type single struct {
	publisher
	client *redis.Client
}

func newSingle(o *Options, client *redis.Client) *single {
	s := &single{client: client}
	s.init(o, s)
	return s
}

// Run keeps the connection that publishes: see Bus.
func (s *single) Run(ctx context.Context) {
	defer s.end(ctx)
	for delay := firstRetry; ctx.Err() == nil; delay = min(2*delay, lastRetry) {
		conn, err := s.o.Connections.Dial(ctx, "")
		if err == nil {
			delay = firstRetry
			c := s.open(conn, func(*publishConn) {})
			s.o.Connections.Works(redisconn.Publishing)
			select {
			case <-c.over:
				err = c.why
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() == nil {
			s.o.Connections.Failed(redisconn.Publishing, err)
		}
		sleep(ctx, delay)
	}
}

func (s *single) asksLocked() bool { return len(s.mu.conns) > 0 && s.mu.conns[0].takesLocked() }

func (s *single) connLocked(string) *publishConn {
	if len(s.mu.conns) == 0 {
		return nil
	}
	return s.mu.conns[0]
}

func (s *single) refusedLocked(_ *publishConn, _ *sentBatch, answer string) error {
	err := errors.New(answer)
	s.refuseLocked(err)
	return err
}

func (*single) command() string { return "PUBLISH" }

// Publish publishes by way of the client's pool: see Bus.
func (s *single) Publish(ctx context.Context, p Publication) (int64, error) {
	s.poll()
	return s.client.Publish(ctx, p.Channel, p.Payload).Result()
}

// PublishAll publishes all in one pipeline: see Bus.
func (s *single) PublishAll(ctx context.Context, all []Publication) []Result {
	pipe := s.client.Pipeline()
	return publishAll(ctx, pipe, all, pipe.Publish)
}

// Drain publishes what the Source has left: see Bus.
func (s *single) Drain(ctx context.Context) { drain(ctx, s, s.o.Source) }

// Subscribe returns a subscription: see Bus.
func (s *single) Subscribe(channel string, l Listener) Subscription {
	sub := s.o.newSubscription(channel, l)
	sub.subscribe = func(ctx context.Context) *redis.PubSub { return s.client.Subscribe(ctx, channel) }
	sub.follow = func(context.Context) {}
	sub.ended = s.poll
	return sub
}

// Reset makes all connections anew: see Bus.
func (s *single) Reset(ctx context.Context, channel string, since time.Time, why error) {
	s.o.Connections.Redial(ctx, channel, since, why.Error())
}
