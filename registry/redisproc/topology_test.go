//go:build unix

package redisproc

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// connect returns a client for whatever a node would use.
func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	c, err := redisconn.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// want waits until key is value.
func want(t *testing.T, c redis.UniversalClient, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		got, err := c.Get(ctx, key).Result()
		if err == nil && got == value {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is %q, %v; want %q", key, got, err, value)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func set(t *testing.T, c redis.UniversalClient, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		err := c.Set(ctx, key, value, 0).Err()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestSentinelsFailOver(t *testing.T) {
	s, err := StartSentinel(t.Context(), t.TempDir(), time.Second)
	needRedis(t, err)
	t.Cleanup(s.Kill)
	c := connect(t, s.URL)
	set(t, c, "a", "1")
	for i, failover := range []func(context.Context) error{s.Failover, s.KillMaster, s.Failover, s.KillMaster} {
		if err := s.Mend(t.Context()); err != nil { // the Sentinel may have failed over by itself meanwhile
			t.Fatal(err)
		}
		master := s.Master.Addr
		if err := failover(t.Context()); err != nil {
			t.Fatalf("failover %d: %v", i, err)
		}
		if s.Master.Addr == master {
			t.Errorf("failover %d: the master stays", i)
		}
		want(t, c, "a", "1")
	}
}

func TestRedisClusterFailsOverAndMigrates(t *testing.T) {
	r, err := StartReplicatedCluster(t.Context(), t.TempDir(), time.Second)
	needRedis(t, err)
	t.Cleanup(r.Kill)
	c := connect(t, r.URL)
	set(t, c, "a", "1")
	slot, err := r.Slot(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for i, failover := range []func(context.Context, int) error{r.Failover, r.KillMaster, r.Failover, r.KillMaster} {
		before, _, err := r.pair(t.Context(), slot)
		if err != nil {
			t.Fatal(err)
		}
		if err := failover(t.Context(), slot); err != nil {
			t.Fatalf("failover %d: %v", i, err)
		}
		if err := r.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after, _, err := r.pair(t.Context(), slot); err != nil || after == before {
			t.Errorf("failover %d: %s stays the master, %v", i, before.Addr, err)
		}
		want(t, c, "a", "1")
		to, err := r.OtherMaster(t.Context(), slot)
		must(t, err)
		half := 0
		from, err := r.Migrate(t.Context(), slot, to, func() error { half++; return nil })
		if err != nil {
			t.Fatalf("migration %d: %v", i, err)
		}
		if now, err := r.Master(t.Context(), slot); err != nil || from == to || now != to || half != 1 {
			t.Errorf("migration %d from %s to %s: the master is %v, %v; half of it was done %d times", i, from.Addr, to.Addr, now, err, half)
		}
		want(t, c, "a", "1")
	}
}

func TestClusterGetsAReplicaThatSucceeds(t *testing.T) {
	r, err := StartCluster(t.Context(), t.TempDir(), time.Minute)
	needRedis(t, err)
	t.Cleanup(r.Kill)
	slot, err := r.Slot(t.Context(), "a")
	must(t, err)
	master, err := r.Master(t.Context(), slot)
	must(t, err)
	replica, err := r.AddReplica(t.Context(), master)
	must(t, err)
	must(t, r.SetNodeTimeout(t.Context(), 2*time.Second))
	must(t, r.KillMaster(t.Context(), slot))
	must(t, r.Mend(t.Context()))
	if now, err := r.Master(t.Context(), slot); err != nil || now != replica {
		t.Errorf("the master is %v, %v", now, err)
	}
}
