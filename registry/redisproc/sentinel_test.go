//go:build unix

package redisproc

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSentinelThatFailedOverByItselfIsFollowed(t *testing.T) {
	s, err := StartSentinel(t.Context(), t.TempDir(), 2*time.Second)
	needRedis(t, err)
	t.Cleanup(s.Kill)
	master, replica := s.Master, s.Replica
	if err := master.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err = s.watcher.Await(t.Context(), "it fails over", func(ctx context.Context, c *redis.Client) bool { return isNamed(ctx, c, replica) })
	if err != nil {
		t.Fatal(err)
	}
	if err := master.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := s.Mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Master != replica || s.Replica != master {
		t.Errorf("the master is %s, want %s", s.Master.Addr, replica.Addr)
	}
	for i, failover := range []func(context.Context) error{s.Failover, s.KillMaster} {
		if err := failover(t.Context()); err != nil {
			t.Fatalf("failover %d: %v", i, err)
		}
	}
}
