package redisconn

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

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
