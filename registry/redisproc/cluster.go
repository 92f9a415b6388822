package redisproc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// shards is how many masters a Cluster has.
const shards = 3

const slotCount = 16384

// Cluster is a Redis Cluster of three masters, which may have replicas. It needs Redis
// 7 or Valkey. One goroutine at a time calls its methods.
type Cluster struct {
	URL     string    // redis+cluster://…, for nodes: of the servers that it started with
	Servers []*Server // the first three were the masters at the start

	dir         string
	nodeTimeout time.Duration
}

// StartCluster starts the masters in directories of their own in dir, which must exist,
// and returns once they serve all slots. nodeTimeout is the silence after which a
// server counts as failed.
func StartCluster(ctx context.Context, dir string, nodeTimeout time.Duration) (*Cluster, error) {
	return startCluster(ctx, dir, nodeTimeout, shards)
}

// StartReplicatedCluster is StartCluster with a replica for each master. It returns
// when every replica can take over.
func StartReplicatedCluster(ctx context.Context, dir string, nodeTimeout time.Duration) (*Cluster, error) {
	return startCluster(ctx, dir, nodeTimeout, 2*shards)
}

func startCluster(ctx context.Context, dir string, nodeTimeout time.Duration, servers int) (_ *Cluster, err error) {
	c := &Cluster{dir: dir, nodeTimeout: nodeTimeout}
	defer func() {
		if err != nil {
			c.Kill()
		}
	}()
	for range servers {
		if _, err := c.startMember(ctx); err != nil {
			return nil, err
		}
	}
	var addrs []string
	for _, r := range c.Servers {
		addrs = append(addrs, r.Addr)
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	if err := c.join(ctx); err != nil {
		return nil, err
	}
	return c, c.Mend(ctx)
}

// startMember starts one more server, which knows nobody yet.
func (c *Cluster) startMember(ctx context.Context) (*Server, error) {
	dir := filepath.Join(c.dir, strconv.Itoa(len(c.Servers)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r, err := Start(ctx, dir, append(replicationArgs(), "--cluster-enabled", "yes",
		"--cluster-node-timeout", milliseconds(c.nodeTimeout),
		"--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no")...)
	if err != nil {
		return nil, err
	}
	c.Servers = append(c.Servers, r)
	return r, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// join makes one Cluster of the servers.
func (c *Cluster) join(ctx context.Context) error {
	for i, r := range c.Servers {
		if _, err := r.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1); err != nil {
			return err
		}
		if i == 0 {
			continue
		}
		if err := r.meet(ctx, c.Servers[0]); err != nil {
			return err
		}
	}
	for i, r := range c.Servers[:shards] {
		err := r.with(func(client *redis.Client) error {
			return client.ClusterAddSlotsRange(ctx, i*slotCount/shards, (i+1)*slotCount/shards-1).Err()
		})
		if err != nil {
			return err
		}
	}
	for i, r := range c.Servers[shards:] {
		if err := r.replicate(ctx, c.Servers[i]); err != nil {
			return err
		}
	}
	return nil
}

// meet introduces the server to another one.
func (r *Server) meet(ctx context.Context, other *Server) error {
	host, port, _ := net.SplitHostPort(other.Addr)
	_, err := r.Do(ctx, "CLUSTER", "MEET", host, port)
	return err
}

// replicate makes the server a replica of a master, once the two know each other.
func (r *Server) replicate(ctx context.Context, master *Server) error {
	id, err := master.clusterID(ctx)
	if err != nil {
		return err
	}
	return r.Await(ctx, "it replicates a master", func(ctx context.Context, client *redis.Client) bool {
		return client.ClusterReplicate(ctx, id).Err() == nil
	})
}

// clusterID is the name of a Cluster's server within it.
func (r *Server) clusterID(ctx context.Context) (id string, err error) {
	err = r.with(func(client *redis.Client) (err error) {
		id, err = client.ClusterMyID(ctx).Result()
		return err
	})
	return id, err
}

// AddReplica starts one more replica of a master and returns when it can take over.
func (c *Cluster) AddReplica(ctx context.Context, master *Server) (*Server, error) {
	r, err := c.startMember(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.meet(ctx, master); err != nil {
		return nil, err
	}
	if err := r.replicate(ctx, master); err != nil {
		return nil, err
	}
	return r, c.Mend(ctx)
}

// Mend starts servers again that have ended, and returns when all agree on who serves
// which slots and who replicates whom, and all replicas are in step.
func (c *Cluster) Mend(ctx context.Context) error {
	for _, r := range c.Servers {
		if r.Ended() {
			if err := r.Restart(ctx); err != nil {
				return err
			}
		}
	}
	for _, r := range c.Servers {
		if err := r.Await(ctx, "it sees the whole Cluster", c.isWhole); err != nil {
			return err
		}
	}
	return c.agreed(ctx)
}

// isWhole reports whether a server knows all servers, serves with them all slots, and
// is in step with its master or feeds its replicas.
func (c *Cluster) isWhole(ctx context.Context, client *redis.Client) bool {
	state, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return false
	}
	for _, want := range []string{"cluster_state:ok", "cluster_size:" + strconv.Itoa(shards),
		"cluster_known_nodes:" + strconv.Itoa(len(c.Servers)), "cluster_slots_pfail:0", "cluster_slots_fail:0"} {
		if !strings.Contains(state, want+"\r\n") {
			return false
		}
	}
	info, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return false
	}
	if strings.Contains(info, "role:slave") {
		return strings.Contains(info, "master_link_status:up")
	}
	return strings.Contains(info, fmt.Sprintf("connected_slaves:%d\r\n", fed(info)))
}

// Kill ends all servers.
func (c *Cluster) Kill() {
	for _, r := range slices.Backward(c.Servers) {
		r.Kill()
	}
}
