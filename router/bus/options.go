package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Options configures a Bus. All but Intercept and Subscribing are required.
type Options struct {
	Redis       redis.UniversalClient // a *redis.Client or a *redis.ClusterClient
	Connections *redisconn.Client     // around Redis
	Source      Source
	// Home is a channel to which there is always a connection, if it can be had: this node's
	// own.
	Home   string
	Logger *slog.Logger
	// Intercept puts something between the bus and a connection that publishes, for tests.
	Intercept func(Conn) Conn
	// Subscribing is called to call subscribe, which subscribes channel, for tests.
	Subscribing func(channel string, subscribe func())
}

// Conn is a connection to Redis that speaks RESP2, on which go-redis has introduced itself:
// see redisconn.Conn.
type Conn interface {
	Detach() bool
	TryRead(b []byte) (n int, err error)
	TryWrite(b []byte) (n int, err error)
	WriteBy(deadline time.Time, b []byte) (n int, err error)
	Read(b []byte) (n int, err error)
	Close() error
}

const (
	// firstRetry and lastRetry are the retry delays of a connection that failed.
	firstRetry = 10 * time.Millisecond
	lastRetry  = 250 * time.Millisecond
	// replyTimeout is how long a reply may take before its connection is closed.
	replyTimeout = 3 * time.Second
	// resetInterval bounds how often the connection to a server is made anew for a peer's sake,
	// and maxServers the servers of which it is known when that was. Beyond it all are forgotten.
	resetInterval = time.Second
	maxServers    = 1 << 10
)

// ReplyTimeout is how old a Publication can be at the most when its result comes: else its
// connection was closed, and the result is ErrLost.
const ReplyTimeout = replyTimeout

// New returns the bus for the kind of Redis that o.Redis talks with. It fails if that is
// neither one Redis nor a Cluster.
func New(o Options) (Bus, error) {
	switch client := o.Redis.(type) {
	case *redis.Client:
		return newSingle(&o, client), nil
	case *redis.ClusterClient:
		return newCluster(&o, client), nil
	}
	return nil, fmt.Errorf("bus: Redis is a %T; allowed are *redis.Client and *redis.ClusterClient", o.Redis)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
