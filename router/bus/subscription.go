package bus

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// subscription hears a channel on a connection of its own.
type subscription struct {
	channel   string
	listener  Listener
	subscribe func(context.Context) *redis.PubSub
	follow    func(context.Context) // finds out whether the channel's slot has moved
	ended     func()                // is told that the connection has ended
	around    func(channel string, subscribe func())

	silent atomic.Bool // nothing has come since the last Check

	mu struct {
		sync.Mutex // held while Redis is dialed, which may take seconds
		sub        *redis.PubSub
	}
}

// Run hears until ctx ends: see Subscription.
func (s *subscription) Run(ctx context.Context) {
	delay := firstRetry
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			s.follow(ctx)
		}
		var sub *redis.PubSub
		s.around(s.channel, func() { sub = s.open(ctx) })
		heard, why := s.receive(ctx, sub)
		if heard {
			delay = firstRetry
		}
		s.listener.Unsubscribed(why)
		s.ended()
		s.close(sub)
		sleep(ctx, delay)
		delay = min(2*delay, lastRetry)
	}
}

// newSubscription returns a subscription that has no connection yet.
func (o *Options) newSubscription(channel string, l Listener) *subscription {
	s := &subscription{channel: channel, listener: l, around: o.Subscribing}
	if s.around == nil {
		s.around = func(_ string, subscribe func()) { subscribe() }
	}
	return s
}

// open subscribes the channel.
func (s *subscription) open(ctx context.Context) *redis.PubSub {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent.Store(false)
	s.mu.sub = s.subscribe(ctx)
	return s.mu.sub
}

// receive takes what comes until the connection fails, or Redis says that the channel has moved
// to another master. It reports whether the channel was subscribed, and what has failed.
func (s *subscription) receive(ctx context.Context, sub *redis.PubSub) (heard bool, why error) {
	for {
		event, err := sub.Receive(ctx)
		if err != nil {
			return heard, causeOf(ctx, err)
		}
		s.silent.Store(false)
		switch event := event.(type) {
		case *redis.Subscription:
			if strings.HasSuffix(event.Kind, "unsubscribe") {
				return heard, nil
			}
			heard = true
			s.listener.Subscribed()
		case *redis.Message:
			s.listener.Received(event.Channel, event.Payload)
		}
	}
}

// causeOf returns why a subscription has failed. One that this node has closed itself has
// not: whoever closed it has told why.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// close closes sub, if that is still the subscription's.
func (s *subscription) close(sub *redis.PubSub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sub == sub {
		_ = sub.Close()
		s.mu.sub = nil
	}
}

// Reset has Run make a new connection: see Subscription.
func (s *subscription) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sub != nil {
		_ = s.mu.sub.Close()
		s.mu.sub = nil
	}
}

// Check finds a connection that is silent: see Subscription.
func (s *subscription) Check(ctx context.Context) {
	s.mu.Lock()
	sub := s.mu.sub
	s.mu.Unlock()
	silent := s.silent.Swap(true)
	switch {
	case sub == nil:
	case silent:
		s.Reset()
	default:
		_ = sub.Ping(ctx) // a failure shows in Receive, or at the next Check
	}
}
