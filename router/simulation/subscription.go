package simulation

import (
	"context"
	"errors"

	"github.com/beeline-ws/beeline/router/bus"
)

// subscription is a bus.Subscription.
type subscription struct {
	host     *host
	channel  string
	listener bus.Listener

	conn  *conn
	some  *signal // there is something to read
	inbox []heard
	over  bool
	why   error
}

// heard is what was read: a message, or that the channel is subscribed.
type heard struct{ channel, payload string }

// Run subscribes and hears.
func (s *subscription) Run(ctx context.Context) {
	for delay := firstRetry; ctx.Err() == nil; delay = min(2*delay, lastRetry) {
		c, err := s.host.dial(ctx)
		if err == nil {
			delay = firstRetry
			err = s.hear(ctx, c)
		}
		if errors.Is(err, errClosed) || ctx.Err() != nil { // whoever closed it knows why
			err = nil
		}
		s.listener.Unsubscribed(err)
		_ = s.host.runtime.Sleep(ctx, delay)
	}
}

// hear subscribes on c and reads until that ends.
func (s *subscription) hear(ctx context.Context, c *conn) error {
	s.conn, s.inbox, s.over, s.some.set = c, nil, false, false
	defer c.close()
	c.listener = func(channel, payload string) {
		s.inbox = append(s.inbox, heard{channel, payload})
		s.some.Set()
	}
	c.onEnd(func(why error) {
		s.over, s.why = true, why
		s.some.Set()
	})
	c.send(toServer, func() {
		if s.host.cluster.moved(c.server, s.channel) {
			c.send(toHost, func() { c.reset(errMoved) })
			return
		}
		c.server.subscribe(c, s.channel)
		c.send(toHost, func() { c.listener("", "") })
	})
	for {
		for len(s.inbox) > 0 {
			m := s.inbox[0]
			s.inbox = s.inbox[1:]
			if m.channel == "" {
				s.listener.Subscribed()
				continue
			}
			c.backlog -= len(m.payload)
			s.listener.Received(m.channel, m.payload)
		}
		if s.over {
			return s.why
		}
		if err := s.some.Wait(ctx); err != nil {
			return err
		}
	}
}

// Reset has Run make a new connection.
func (s *subscription) Reset() {
	if s.conn != nil {
		s.conn.close()
	}
}

// Check does nothing: only an inlet uses it.
func (s *subscription) Check(context.Context) {}
