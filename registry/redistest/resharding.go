package redistest

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// migrateBatch is how many keys of a slot move at a time.
const migrateBatch = 10

// AddReplica starts a replica of a master and returns when it can take over.
func (c *Cluster) AddReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	master.mustOwn("AddReplica")
	p := launchFor(t, "--cluster-enabled", "yes", "--cluster-node-timeout", calmClusterTimeout, "--repl-diskless-sync-delay", "0")
	replica := &Server{Addr: p.addr, Prefix: c.Prefix, t: t, own: true, p: p}
	host, port, _ := net.SplitHostPort(master.Addr)
	replica.do("CLUSTER", "MEET", host, port)
	id := master.clusterID()
	replica.reach("it replicates", func(ctx context.Context, c *redis.Client) bool {
		return c.ClusterReplicate(ctx, id).Err() == nil
	})
	replica.reach("it is in step", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "replication", "master_link_status:up")
	})
	for _, s := range c.Servers {
		s.reach("the replica is known", func(ctx context.Context, c *redis.Client) bool {
			nodes, err := c.ClusterNodes(ctx).Result()
			return err == nil && strings.Contains(nodes, "slave "+id)
		})
	}
	return replica
}

// TakeOver makes a replica the master, and its master the replica of it, in the
// orderly way: no write is lost.
func (s *Server) TakeOver() {
	s.t.Helper()
	s.do("CLUSTER", "FAILOVER")
	s.awaitMaster()
}

// Succeed returns when the other masters have found out that the replica's master was
// killed, and made the replica the master.
func (c *Cluster) Succeed(replica *Server) {
	replica.t.Helper()
	c.setTimeout(replica, hastyClusterTimeout)
	replica.awaitMaster()
	c.setTimeout(replica, calmClusterTimeout)
}

func (c *Cluster) setTimeout(replica *Server, timeout string) {
	for _, s := range append([]*Server{replica}, c.Servers...) {
		client := s.p.client()
		_ = client.ConfigSet(context.Background(), "cluster-node-timeout", timeout).Err() // one was killed
		_ = client.Close()
	}
}

func (s *Server) awaitMaster() {
	s.t.Helper()
	s.reach("it is the master", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "replication", "role:master")
	})
}

// MigrateSlot moves a slot from the master that has it to another one, key by key, as
// `redis-cli --cluster reshard` does. between is called when half of it is done.
func (c *Cluster) MigrateSlot(slot int, from, to *Server, between func()) {
	from.t.Helper()
	to.do("CLUSTER", "SETSLOT", slot, "IMPORTING", from.clusterID())
	from.do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.clusterID())
	host, port, _ := net.SplitHostPort(to.Addr)
	for moved := false; ; moved = true {
		keys, _ := from.do("CLUSTER", "GETKEYSINSLOT", slot, migrateBatch).([]any)
		if len(keys) == 0 && moved {
			break
		}
		if len(keys) > 0 {
			from.do(append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
		}
		if !moved {
			between()
		}
	}
	for _, s := range append([]*Server{to, from}, c.Servers...) {
		s.do("CLUSTER", "SETSLOT", slot, "NODE", to.clusterID())
	}
}

// MasterOf returns the master that has a key, and its slot.
func (c *Cluster) MasterOf(key string) (master *Server, slot int) {
	found, _ := c.Servers[0].do("CLUSTER", "KEYSLOT", key).(int64)
	slot = int(found)
	c.Servers[0].reach("the slots are known", func(ctx context.Context, client *redis.Client) bool {
		nodes, err := client.ClusterNodes(ctx).Result()
		if err != nil {
			return false
		}
		for line := range strings.Lines(nodes) {
			for _, s := range c.Servers {
				if strings.Contains(line, " "+s.Addr+"@") && hasSlot(strings.Fields(line), slot) {
					master = s
				}
			}
		}
		return master != nil
	})
	return master, slot
}

// hasSlot tells whether a line of CLUSTER NODES names the slot: from its ninth field on
// stand slots, and ranges of them.
func hasSlot(fields []string, slot int) bool {
	for _, field := range fields[min(8, len(fields)):] {
		from, to, isRange := strings.Cut(field, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && first <= slot && slot <= last {
			return true
		}
	}
	return false
}

func (s *Server) clusterID() string {
	s.t.Helper()
	id, _ := s.do("CLUSTER", "MYID").(string)
	return id
}

// do sends a command to the server itself.
func (s *Server) do(args ...any) any {
	s.t.Helper()
	c := s.p.client()
	defer func() { _ = c.Close() }()
	answer, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

func (s *Server) reach(what string, ok func(context.Context, *redis.Client) bool) {
	s.t.Helper()
	mustReach(s.t, s.p, what, ok)
}
