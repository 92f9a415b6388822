package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Conn is a connection to Redis on which its owner speaks RESP2 itself. Until Detach it is
// used as any net.Conn.
type Conn struct {
	net.Conn
	raw    *rawConn    // the same, if it can be written without waiting
	polled *polledConn // instead of both, once detached

	server string        // its address in a Cluster, as MasterAddr has it
	client *redis.Client // has introduced the connection, and still takes it for its own
	sticky *redis.Conn
	close  func() error
}

// Dial opens a connection of its own to the server that client talks with now
// (for Sentinel: the master). It is set up as client's connections are (TLS,
// authentication, database), speaks RESP2, and nothing has been sent beyond that.
func Dial(ctx context.Context, client *redis.Client) (*Conn, error) {
	var dialed capture
	c := &Conn{client: redis.NewClient(dialed.options(client))}
	c.sticky = c.client.Conn()
	c.close = sync.OnceValue(c.shut)
	err := c.sticky.Ping(ctx).Err()
	if c.Conn = dialed.take(); c.Conn == nil && err == nil {
		err = errors.New("no connection was dialed")
	}
	if err == nil {
		err = c.SetDeadline(time.Time{}) // go-redis leaves that of its last command
	}
	if err != nil {
		_ = c.Close()
		if c.Conn != nil { // there is a connection, of no use
			if server := c.RemoteAddr().String(); !strings.Contains(err.Error(), server) {
				err = fmt.Errorf("%s: %w", server, err)
			}
		}
		return nil, fmt.Errorf("dial Redis: %w", err)
	}
	c.raw = rawOf(c.Conn)
	return c, nil
}

// Server returns the address of the Cluster's server, as MasterAddr does; outside Cluster it
// is empty.
func (c *Conn) Server() string { return c.server }

// TryWrite writes as much of b as the kernel takes now, without waiting; that may
// be nothing. Where it is not possible (TLS, and systems other than Linux) it
// writes nothing and returns 0, nil.
func (c *Conn) TryWrite(b []byte) (n int, err error) {
	switch {
	case c.polled != nil:
		return c.polled.tryWrite(b)
	case c.raw == nil:
		return 0, nil
	}
	return c.raw.tryWrite(b)
}

// WriteBy writes all of b, waiting until the deadline at the latest.
func (c *Conn) WriteBy(deadline time.Time, b []byte) (n int, err error) {
	if c.polled != nil {
		return c.polled.writeAll(b, deadline)
	}
	if err := c.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	defer c.SetWriteDeadline(time.Time{})
	return c.Write(b)
}

// Detach takes the connection out of the runtime's poller: from now on what arrives wakes
// no goroutine. TryRead gets it, and besides only TryWrite, WriteBy and
// Close may be called. It is called before the connection is shared. Where it is
// not possible (as for TryWrite) it changes nothing and returns false.
func (c *Conn) Detach() bool {
	if c.raw == nil {
		return false
	}
	polled, err := detach(c.raw)
	if err != nil {
		return false
	}
	c.polled = polled
	return true
}

// TryRead reads what has arrived on a detached connection; nothing is no error.
func (c *Conn) TryRead(b []byte) (n int, err error) {
	if c.polled == nil {
		return 0, nil
	}
	return c.polled.tryRead(b)
}

// Close closes the connection. It may be called again, and at any time.
func (c *Conn) Close() error { return c.close() }

func (c *Conn) shut() (err error) {
	switch {
	case c.polled != nil:
		err = c.polled.close()
		_ = c.Conn.Close() // its socket is polled's; this strikes it off the client's account
	case c.Conn != nil:
		err = c.Conn.Close()
	}
	_ = c.sticky.Close()
	_ = c.client.Close() // closes the connection again
	return err
}

// rawOf returns the connection below conn that has raw system calls, or nil.
func rawOf(conn net.Conn) *rawConn {
	if d, ok := conn.(*dialed); ok {
		conn = d.Conn
	}
	raw, _ := conn.(*rawConn)
	return raw
}

// capture keeps the connection that a client dials last.
type capture struct {
	mu    sync.Mutex
	conn  net.Conn
	taken bool
}

// options returns client's options for a client that dials once, for c.
func (c *capture) options(client *redis.Client) *redis.Options {
	opts := *client.Options()
	dial := opts.Dialer
	opts.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return c.keep(withRawCalls(conn))
	}
	opts.Protocol = 2
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	// At as many failed dials as the pool is large, go-redis leaves a goroutine
	// behind that goes on trying: here it is one dial, so never.
	opts.PoolSize, opts.MinIdleConns, opts.PipelinePoolSize = 2, 0, -1
	opts.MaxRetries, opts.DialerRetries = -1, 1
	opts.ReadBufferSize, opts.WriteBufferSize = 4096, 4096 // for the introduction only
	opts.ContextTimeoutEnabled = true
	return &opts
}

// keep takes note of conn, unless it comes too late.
func (c *capture) keep(conn net.Conn) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.conn = conn
	return conn, nil
}

func (c *capture) take() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = true
	return c.conn
}

// Dial is Dial for c's own client, in a Cluster for that of the master that has key, or a
// channel of that name. The connection is counted and, if need be, closed as c's other
// connections are; see Redial.
func (c *Client) Dial(ctx context.Context, key string) (*Conn, error) {
	master, err := c.MasterOf(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("dial Redis: %w", err)
	}
	client, ok := master.(*redis.Client)
	if !ok {
		return nil, fmt.Errorf("dial Redis: a %T has no one server", master)
	}
	conn, err := Dial(ctx, client)
	if err != nil {
		return nil, err
	}
	if c.IsCluster() {
		conn.server = client.Options().Addr
	}
	c.conns.keepOwn(conn)
	return conn, nil
}
