package redisconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// connections keeps account of all connections that a client has open: those of its
// pools, its subscriptions, and those of Dial. An old connection may lead to a server that
// is not the master any more, although the name, or the Sentinels, lead elsewhere by now.
// Then all are closed together: half of them at another server would be worse than an
// outage.
type connections struct {
	dials prometheus.Counter

	mu struct {
		sync.Mutex
		open       map[*dialed]string   // the address that the client dialed
		redialedAt map[string]time.Time // when all to an address were closed last
		// dialFailure is why a connection did not come about, or into use, the last time.
		dialFailure error
		dialFailed  time.Time
	}
}

// dialFailureCounts is for how long a failure to connect explains other failures.
const dialFailureCounts = 10 * time.Second

// redialEvery is the least time from one closing of all connections to an address to the
// next: a server that goes on refusing must not be called without end.
const redialEvery = time.Second

func newConnections(dials prometheus.Counter) *connections {
	c := &connections{dials: dials}
	c.mu.open, c.mu.redialedAt = make(map[*dialed]string), make(map[string]time.Time)
	return c
}

// keep takes account of conn until it is closed.
func (c *connections) keep(conn net.Conn, addr string) *dialed {
	d, ok := conn.(*dialed)
	if !ok {
		d = &dialed{Conn: conn}
	}
	d.openedAt, d.onClose, d.onUnusable = time.Now(), c.forget, c.failed
	if d.closeWhole == nil {
		d.closeWhole = d.Close
	}
	c.dials.Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.open[d] = addr
	return d
}

// failed takes note of why a connection did not come about, or into use.
func (c *connections) failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.dialFailure, c.mu.dialFailed = err, time.Now()
}

// explain returns why something failed. If err says only that it took too long, or that the
// connection has ended, and no connection came about, that is the reason; otherwise it is
// err itself.
func (c *connections) explain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) || !isTimeout(err) && !isHangup(err) && !errors.Is(err, redis.Nil) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dialFailure != nil && time.Since(c.mu.dialFailed) < dialFailureCounts {
		return c.mu.dialFailure
	}
	return err
}

// keepOwn takes account of a connection of Dial's, which is closed as a whole.
func (c *connections) keepOwn(conn *Conn) {
	d, ok := conn.Conn.(*dialed)
	if !ok {
		d = &dialed{Conn: conn.Conn}
		conn.Conn = d
	}
	d.closeWhole = conn.Close
	c.keep(d, conn.server)
}

func (c *connections) forget(d *dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.open, d)
}

// list returns all connections.
func (c *connections) list() (list []*dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.mu.open {
		list = append(list, d)
	}
	return list
}

// toRedial returns the connections to addr, or all if addr is empty, that were opened before
// then. It returns none if it has returned some less than redialEvery ago.
func (c *connections) toRedial(addr string, then time.Time) (list []*dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.mu.redialedAt[addr]) < redialEvery {
		return nil
	}
	for d, at := range c.mu.open {
		if (addr == "" || at == addr) && d.openedAt.Before(then) {
			list = append(list, d)
		}
	}
	if len(list) > 0 {
		if len(c.mu.redialedAt) >= maxNames {
			clear(c.mu.redialedAt)
		}
		c.mu.redialedAt[addr] = now
	}
	return list
}

// closeAll closes connections that others use. With avoid their addresses are tried last
// for a while, where a name has others.
func closeAll(list []*dialed, avoid bool) {
	for _, d := range list {
		if avoid && d.by != nil && d.place.IsValid() {
			d.by.names.avoid(d.place)
		}
		_ = d.closeWhole()
	}
}

// look closes the connections to a server that says that it is not the master, or that
// it has no data.
func (w serverWatch) look(began time.Time, err error) {
	if err != nil && (redis.IsReadOnlyError(err) || redis.IsMasterDownError(err) || redis.IsLoadingError(err)) {
		w.c.redial(w.addr, began, err.Error())
	}
}

// Redial closes the connections to the server that has key, or a channel of that name,
// and in the case of one server all: they may lead to different servers, or to one that
// is not the master any more. The next are made where the URL's name, or the Sentinels,
// lead now. began is when the trouble did: what was opened since is left alone. why is for
// the log.
func (c *Client) Redial(ctx context.Context, key string, began time.Time, why string) {
	if addr, err := c.MasterAddr(ctx, key); err == nil {
		c.redial(addr, began, why)
	}
}

// redial closes the connections to addr that were opened before then, unless that was
// done a moment ago.
func (c *Client) redial(addr string, then time.Time, why string) {
	list := c.conns.toRedial(addr, then)
	if len(list) == 0 {
		return
	}
	closeAll(list, true)
	c.log.Debug("connections to Redis are made anew", "connections", len(list), "reason", why)
}
