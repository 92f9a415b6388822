package bus

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// How the channels of a Cluster get a connection to their masters.

// server is a master that this node publishes to.
type server struct {
	conn    *publishConn // nil while it is dialed
	waiting []string     // sought channels that are to be placed there then
}

// Run finds the connections of the channels that are sought: see Bus.
func (k *cluster) Run(ctx context.Context) {
	defer k.end(ctx)
	for ctx.Err() == nil {
		channels, moved := k.takeMissing()
		if moved {
			k.reload(ctx)
		}
		k.findMasters(ctx, channels)
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

// findMasters places channels at their masters.
func (k *cluster) findMasters(ctx context.Context, channels []string) {
	var failed []string
	var why error
	for _, channel := range channels {
		if err := k.findMaster(ctx, channel); err != nil {
			failed, why = append(failed, channel), err
		}
	}
	if why != nil {
		k.mu.Lock()
		k.startLocked(func() { k.findAgain(ctx, failed, why) })
		k.mu.Unlock()
	}
}

// findMaster places a channel at its master, which is dialed if need be.
func (k *cluster) findMaster(ctx context.Context, channel string) error {
	addr, err := k.o.Connections.MasterAddr(ctx, channel)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.servers[addr]
	if s == nil {
		s = new(server)
		k.servers[addr] = s
		k.startLocked(func() { k.serve(ctx, s, addr, channel) })
	}
	if s.conn == nil || s.conn.ended {
		s.waiting = append(s.waiting, channel)
	} else {
		k.placeLocked(channel, s.conn)
	}
	return nil
}

// findAgain has channels looked for again, after a while, whose masters are not known.
func (k *cluster) findAgain(ctx context.Context, channels []string, why error) {
	if ctx.Err() == nil {
		k.o.Connections.Failed(redisconn.Publishing, why)
	}
	sleep(ctx, findRetry)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.moved = true
	k.missing = append(k.missing, channels...)
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
			s.conn, c.server = c, addr
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
