package router

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// do sends commands to the cluster's Redis, which must take them.
func (c *cluster) do(commands ...[]any) {
	c.t.Helper()
	for _, command := range commands {
		if err := c.redis.Client(c.t).Do(c.t.Context(), command...).Err(); err != nil {
			c.t.Fatalf("%v: %v", command, err)
		}
	}
}

// The ways in which Redis is there and of no use, and how each ends.
var aways = map[string]struct{ begin, end func(*cluster) }{
	"out of memory": {
		func(c *cluster) { c.do([]any{"CONFIG", "SET", "maxmemory", "1"}) },
		func(c *cluster) { c.do([]any{"CONFIG", "SET", "maxmemory", "0"}) },
	},
	"without its replicas": {
		func(c *cluster) { c.do([]any{"CONFIG", "SET", "min-replicas-to-write", "1"}) },
		func(c *cluster) { c.do([]any{"CONFIG", "SET", "min-replicas-to-write", "0"}) },
	},
	"a replica of nobody": {
		func(c *cluster) { c.do([]any{"REPLICAOF", "127.0.0.1", "1"}) },
		func(c *cluster) { c.do([]any{"REPLICAOF", "NO", "ONE"}) },
	},
	"a replica that is not in step": { // -MASTERDOWN
		func(c *cluster) {
			c.do([]any{"CONFIG", "SET", "replica-serve-stale-data", "no"}, []any{"REPLICAOF", "127.0.0.1", "1"})
		},
		func(c *cluster) { c.do([]any{"REPLICAOF", "NO", "ONE"}) },
	},
	"busy with a script": { // -BUSY
		func(c *cluster) {
			c.do([]any{"CONFIG", "SET", "lua-time-limit", "1"})
			// It must not be sent again once it was killed.
			once := redis.NewClient(&redis.Options{Addr: c.redis.Addr, MaxRetries: -1, ReadTimeout: -1})
			c.t.Cleanup(func() { _ = once.Close() })
			go once.Do(context.Background(), "EVAL", "while true do end", "0")
		},
		func(c *cluster) { c.do([]any{"SCRIPT", "KILL"}) },
	},
	"killed": {
		func(c *cluster) { c.redis.Kill() },
		func(c *cluster) { c.redis.Restart() },
	},
	"stopped": {
		func(c *cluster) { c.redis.Pause() },
		func(c *cluster) { c.redis.Resume() },
	},
}

func TestRedisAwayAndBack(t *testing.T) {
	for name, away := range aways {
		t.Run(name, func(t *testing.T) {
			c := newOwnCluster(t, 2, nil)
			alice, bob := c.node(0).connect("alice"), c.node(1).connect("bob")
			c.node(0).wantOutcome("bob", "before", Delivered)
			away.begin(c)
			for _, n := range c.nodes {
				until(t, n.opts.NodeID+" is not ready", func() bool { return n.unready() != nil })
			}
			if _, err := c.node(0).tryConnect("carol"); err == nil {
				t.Error("carol was welcomed")
			}
			c.node(0).wantTimeout("nobody", "x")
			inTime := c.node(1).sendTo("alice", "in time")
			away.end(c)
			c.node(1).want(inTime, Delivered)
			for _, n := range c.nodes {
				n.heals()
			}
			c.wantWell(alice, bob)
			alice.await("got what waited", func() bool { return len(alice.got) > 0 && alice.got[0] == "in time" })
		})
	}
}

// wantWell waits until all is as if nothing had happened.
func (c *cluster) wantWell(sessions ...*testSession) {
	c.t.Helper()
	for _, s := range sessions {
		for _, from := range c.nodes {
			from.wantOutcome(s.client, "after", Delivered)
		}
		until(c.t, s.client+" is owned by "+s.node.opts.NodeID+" alone", func() bool {
			owners := c.owners(s.client)
			return len(owners) == 1 && owners[0].NodeID == s.node.opts.NodeID
		})
		s.mu.Lock()
		if s.evicted != nil {
			c.t.Errorf("%s was evicted: %v", s.client, s.evicted)
		}
		s.mu.Unlock()
	}
	for _, n := range c.nodes {
		n.wantOutcome("carol", "x", Offline)
		until(c.t, "the metrics of "+n.opts.NodeID+" say that all is well", func() bool {
			return testutil.ToFloat64(n.m.Registry.Settled) == 1 && testutil.ToFloat64(n.m.Router.PrivateChannelHears) == 1
		})
	}
}

// Redis starts from a snapshot: it loads for a while, and then knows sessions that have
// gone, a node that has died, and another cluster's; and does not know who came since.
func TestRedisBackWithOtherData(t *testing.T) {
	c := newOwnCluster(t, 3, nil)
	alice := c.node(0).connect("alice")
	gone := c.node(1).connect("gone")
	c.node(2).connect("dead")
	stranger := c.node(0).keys.Address("bob")
	c.do([]any{"HSET", stranger, "stranger", "70ce"})
	for i := range 30 {
		c.do([]any{"SET", i, redistest.Noise(1 << 10)})
	}
	snapshot := c.redis.Snapshot()
	c.do([]any{"DEL", stranger})
	gone.leave()
	c.node(2).die()
	c.nodes = c.nodes[:2]
	bob := c.node(1).connect("bob")

	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		c.redis.RestartFrom(snapshot, 100*time.Millisecond)
	}()
	for _, n := range c.nodes {
		until(t, n.opts.NodeID+" is not ready", func() bool { return n.unready() != nil })
	}
	out := c.node(0).sendTo("bob", "meanwhile")
	<-loaded
	c.node(0).want(out, Delivered)
	for _, n := range c.nodes {
		n.heals()
	}
	c.wantWell(alice, bob)
	for _, client := range []string{"gone", "dead"} {
		c.node(0).wantOutcome(client, "x", Offline)
	}
}
