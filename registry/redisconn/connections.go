package redisconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// connections keeps account of all connections that a client has open:
// those of its pools, its subscriptions, and those of Dial. An old connection may
// lead to a server that is not the master any more, although the name, or the
// Sentinels, lead elsewhere by now; then all are closed together, because half of
// them at another server is worse than an outage.
type connections struct {
	dials prometheus.Counter

	mu     sync.Mutex
	open   map[*dialed]string   // the address that the client dialed
	redone map[string]time.Time // when all to an address were closed last

	undialed   error     // why a connection did not come about, or into use, last
	undialedAt time.Time // when
}

// undialedCounts is for how long that explains that something failed on a connection.
const undialedCounts = 10 * time.Second

// redialEvery is the least time from one closing of all connections to an address to the
// next: a server that goes on refusing must not be called without end.
const redialEvery = time.Second

func newConnections(dials prometheus.Counter) *connections {
	return &connections{dials: dials, open: make(map[*dialed]string), redone: make(map[string]time.Time)}
}

// keep takes account of conn until it is closed.
func (c *connections) keep(conn net.Conn, addr string) *dialed {
	d, ok := conn.(*dialed)
	if !ok {
		d = &dialed{Conn: conn}
	}
	d.since, d.closed, d.told = time.Now(), c.forget, c.failed
	if d.cut == nil {
		d.cut = d.Close
	}
	c.dials.Inc()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[d] = addr
	return d
}

// failed takes note of why a connection did not come about, or into use.
func (c *connections) failed(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undialed, c.undialedAt = err, time.Now()
}

// why returns why something failed if err only says that it took too long, or that the
// connection has ended, and no connection came about; else it returns err itself.
func (c *connections) why(err error) error {
	var op *net.OpError
	if errors.As(err, &op) || !isTimeout(err) && !isHangup(err) && !errors.Is(err, redis.Nil) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.undialed != nil && time.Since(c.undialedAt) < undialedCounts {
		return c.undialed
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
	d.cut = conn.Close
	c.keep(d, conn.server)
}

func (c *connections) forget(d *dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, d)
}

// list returns all connections.
func (c *connections) list() (list []*dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.open {
		list = append(list, d)
	}
	return list
}

// toRedo returns the connections to addr that were opened before then, or to anywhere if
// addr is empty. It returns none if that was less than redialEvery ago.
func (c *connections) toRedo(addr string, then time.Time) (list []*dialed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.redone[addr]) < redialEvery {
		return nil
	}
	for d, at := range c.open {
		if (addr == "" || at == addr) && d.since.Before(then) {
			list = append(list, d)
		}
	}
	if len(list) > 0 {
		if len(c.redone) >= maxNames {
			clear(c.redone)
		}
		c.redone[addr] = now
	}
	return list
}

// cutAll closes connections from outside. Their places are tried last for a while,
// if another one is known.
func cutAll(list []*dialed, avoid bool) {
	for _, d := range list {
		if avoid && d.by != nil && d.place.IsValid() {
			d.by.names.avoid(d.place)
		}
		_ = d.cut()
	}
}

// hookConnections has c see what its client dials and is answered. A Cluster's client
// dials through a client for each server.
func (c *Client) hookConnections() {
	if c.cluster != nil {
		c.cluster.OnNewNode(func(node *redis.Client) { node.AddHook(serverWatch{c, node.Options().Addr}) })
		return
	}
	w := serverWatch{c, ""}
	c.rdb.AddHook(w)
	if single, ok := c.rdb.(*redis.Client); ok {
		if a, ok := single.Options().Limiter.(*attempts); ok {
			report := func(err error) { w.look(time.Now(), err) }
			a.report.Store(&report)
		}
	}
}

// attempts sees how each attempt at a command ended, as a redis.Limiter that allows
// everything. A hook sees only how the last attempt ended: go-redis makes a command that
// met READONLY again, on another connection, and it would stay unknown that one connection
// has moved and the others have not.
type attempts struct{ report atomic.Pointer[func(error)] }

// Allow allows everything.
func (*attempts) Allow() error { return nil }

// ReportResult takes the error of an attempt, in a pipeline that of its first command.
func (a *attempts) ReportResult(err error) {
	if report := a.report.Load(); err != nil && report != nil {
		(*report)(err)
	}
}

// serverWatch is a hook of the client of one server. It counts the connections that
// are opened, and takes what the server answers as a sign of its state.
type serverWatch struct {
	c    *Client
	addr string // the server's in a Cluster, else empty
}

// DialHook takes account of the connections.
func (w serverWatch) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			w.c.conns.failed(err)
			return nil, err
		}
		return w.c.conns.keep(conn, w.addr), nil
	}
}

// ProcessHook looks at single commands.
func (w serverWatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if _, ok := cmd.(*redis.ClusterSlotsCmd); ok && errors.Is(err, redis.Nil) {
			w.c.conns.failed(errNoEndpoint)
		}
		w.look(began, err)
		w.c.refusals.answered(w.c, cmd, err)
		return err
	}
}

// ProcessPipelineHook looks at all commands of a pipeline.
func (w serverWatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			w.look(began, cmd.Err())
			w.c.refusals.answered(w.c, cmd, cmd.Err())
		}
		return err
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
	list := c.conns.toRedo(addr, then)
	if len(list) == 0 {
		return
	}
	cutAll(list, true)
	c.log.Debug("connections to Redis are made anew", "connections", len(list), "reason", why)
}
