package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/node"
	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router"
)

const (
	demoClients   = 3
	demoStartTime = 30 * time.Second
	demoStopTime  = 10 * time.Second
)

// demoCluster is the demo's nodes and clients. One goroutine starts and stops it.
type demoCluster struct {
	server *demoRedis
	flags  demoFlags
	log    *slog.Logger

	recorder recorder
	page     page
	keys     registry.Keys
	secrets  []router.ClusterKey // of targeted's nodes; the others sign nothing
	nodes    []*demoNode
	clients  []*demoClient

	arrivals chan arrival // what the clients received
	ended    chan struct{}
	reading  sync.WaitGroup
}

type demoNode struct {
	*node.Node
	name  string // n1, n2, ...
	redis redis.UniversalClient
}

func (n *demoNode) url() string { return "http://" + n.Addr() + "/" }

type demoClient struct {
	*client.Client
	home *demoNode
}

// arrival is a frame that a client received, or the error that ended it.
type arrival struct {
	at     time.Time
	client *demoClient
	frame  client.Frame
	err    error
}

func (c *demoCluster) start(ctx context.Context) error {
	c.arrivals, c.ended = make(chan arrival), make(chan struct{})
	if router.Delivery(c.flags.delivery) == router.Targeted {
		c.secrets = []router.ClusterKey{make(router.ClusterKey, 32)}
		_, _ = rand.Read(c.secrets[0]) // never fails
	}
	if err := c.findKeys(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, demoStartTime)
	defer cancel()
	for i := range c.flags.nodes {
		if err := c.addNode(ctx, i); err != nil {
			return err
		}
	}
	c.page.setNodes(c.nodes)
	for i := range demoClients {
		if err := c.addClient(ctx, fmt.Sprintf("C%d", i+1), c.nodes[i%len(c.nodes)]); err != nil {
			return err
		}
	}
	c.page.setClients(c.clients)
	return nil
}

// findKeys learns how the registry names its keys and channels.
func (c *demoCluster) findKeys() error {
	client, err := redisconn.Connect(c.server.url)
	if err != nil {
		return err
	}
	defer client.Close()
	reg, err := registry.New(registry.Options{Redis: client, NodeID: "beeline-demo"})
	if err != nil {
		return err
	}
	c.keys = reg.Keys()
	return nil
}

func (c *demoCluster) addNode(ctx context.Context, i int) error {
	listen, err := c.flags.listen(i)
	if err != nil {
		return err
	}
	n := &demoNode{name: fmt.Sprintf("n%d", i+1)}
	if n.redis, err = c.connect(n); err != nil {
		return err
	}
	n.Node, err = node.New(node.Options{
		Name: n.name, Version: versionString(), Redis: n.redis,
		Listen: listen, AdminListen: "127.0.0.1:0",
		Delivery: router.Delivery(c.flags.delivery), DrainPeriod: -1,
		ClusterKeys: c.secrets,
		Page:        c.page.handler(i), Logger: c.log,
	})
	if err != nil {
		return errors.Join(err, n.redis.Close())
	}
	c.nodes = append(c.nodes, n)
	if err := n.Start(ctx); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	return nil
}

// connect returns a client for n that the recorder hears.
func (c *demoCluster) connect(n *demoNode) (redis.UniversalClient, error) {
	client, err := redisconn.Connect(c.server.url)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	single, ok := client.(*redis.Client)
	if !ok {
		return nil, errors.New("the demo's Redis is one server")
	}
	return watched(single, n, &c.recorder), nil
}

// dialRetry is how often a node that is not ready is asked again.
const dialRetry = 100 * time.Millisecond

// addClient connects a client. A node that is not ready for newcomers, as for a moment
// after the machine stood still, is asked again until ctx ends.
func (c *demoCluster) addClient(ctx context.Context, name string, home *demoNode) error {
	conn, err := client.Dial(ctx, home.url(), name)
	for refused := (*client.RefusedError)(nil); errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-time.After(dialRetry):
			conn, err = client.Dial(ctx, home.url(), name)
		}
	}
	if err != nil {
		return fmt.Errorf("client %s: %w", name, err)
	}
	d := &demoClient{conn, home}
	c.clients = append(c.clients, d)
	c.reading.Go(func() { c.read(d) })
	return nil
}

// read passes on what d receives until its connection ends.
func (c *demoCluster) read(d *demoClient) {
	for {
		f, err := d.Next()
		select {
		case c.arrivals <- arrival{time.Now(), d, f, err}:
		case <-c.ended:
			return
		}
		if err != nil {
			return
		}
	}
}

// stop ends everything that start began, the last first.
func (c *demoCluster) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoStopTime)
	defer cancel()
	close(c.ended)
	for _, d := range c.clients {
		d.Close()
	}
	c.reading.Wait()
	errs := make([]error, len(c.nodes))
	var stopping sync.WaitGroup
	for i, n := range c.nodes {
		stopping.Go(func() { errs[i] = errors.Join(n.Stop(ctx), n.redis.Close()) })
	}
	stopping.Wait()
	return errors.Join(errs...)
}
