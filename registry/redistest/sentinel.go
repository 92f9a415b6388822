package redistest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Sentinel is a master and a replica that one Sentinel watches under the name
// mymaster. They end with the test.
type Sentinel struct {
	Addr   string // the Sentinel's
	Prefix string // for keys and channels; no other test of the process has it

	t        testing.TB
	servers  [2]*process
	sentinel *process
}

// StartSentinel starts them and waits until the replica can take over.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	master := launchFor(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := net.SplitHostPort(master.addr)
	replica := launchFor(t, "--replicaof", host+" "+port)
	mustReach(t, replica, "the replica is in step", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "replication", "master_link_status:up")
	})

	dir := t.TempDir()
	config := filepath.Join(dir, "sentinel.conf")
	lines := []string{ // it fails over when it is told to, not because the machine stands still
		"sentinel monitor mymaster " + host + " " + port + " 1",
		"sentinel down-after-milliseconds mymaster 60000",
		"sentinel failover-timeout mymaster 5000",
	}
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Sentinel{Prefix: newPrefix(), t: t, servers: [2]*process{master, replica}, sentinel: launchSentinel(t, config)}
	s.Addr = s.sentinel.addr
	s.withoutTilt()
	mustReach(t, s.sentinel, "the replica is known", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "sentinel", "slaves=1")
	})
	return s
}

// withoutTilt has the Sentinel not rest for half a minute after each time that the machine
// stood still for two seconds. Before Redis 7 there is no such setting.
func (s *Sentinel) withoutTilt() {
	c := s.sentinel.client()
	defer func() { _ = c.Close() }()
	_ = c.Do(context.Background(), "SENTINEL", "DEBUG", "TILT-TRIGGER", 10*patience.Milliseconds()).Err()
}

func launchSentinel(t testing.TB, config string) *process {
	t.Helper()
	path := binary(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(config)
	p := &process{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir, args: []string{
		path, config, "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--logfile", filepath.Join(dir, "log")}}
	err = p.start()
	if p.leash != nil {
		t.Cleanup(p.kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// URL returns the URL in the form of registry.Connect.
func (s *Sentinel) URL() string { return "redis+sentinel://" + s.Addr + "/mymaster/0" }

// Failover makes the replica the master, and the master its replica, and
// returns when both know.
func (s *Sentinel) Failover() {
	s.t.Helper()
	old, heir := s.servers[0], s.servers[1]
	_, port, _ := net.SplitHostPort(heir.addr)
	var next time.Time
	mustReach(s.t, s.sentinel, "the Sentinel names the new master", func(ctx context.Context, c *redis.Client) bool {
		at, err := c.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
		if err != nil || len(at) != 2 {
			return false
		}
		if at[1] == port {
			return true
		}
		if time.Now().After(next) {
			next = time.Now().Add(time.Second)
			_ = c.Do(ctx, "SENTINEL", "FAILOVER", "mymaster").Err() // one may be under way, or have been given up
		}
		return false
	})
	mustReach(s.t, heir, "the replica is the master", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "replication", "role:master")
	})
	// The Sentinel would do this too, some ten seconds later.
	mustReach(s.t, old, "the master is a replica", func(ctx context.Context, c *redis.Client) bool {
		return c.Do(ctx, "REPLICAOF", "127.0.0.1", port).Err() == nil
	})
	s.servers = [2]*process{heir, old}
}

// KillReplica ends the replica.
func (s *Sentinel) KillReplica() { s.servers[1].kill() }

func infoHas(ctx context.Context, c *redis.Client, section, line string) bool {
	info, err := c.Info(ctx, section).Result()
	return err == nil && strings.Contains(info, line)
}

func mustReach(t testing.TB, p *process, what string, ok func(context.Context, *redis.Client) bool) {
	t.Helper()
	if err := p.await(what, ok); err != nil {
		t.Fatal(err)
	}
}
