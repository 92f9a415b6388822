package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// watched is the name under which Sentinels know their master.
const watched = "mymaster"

// askAgain is when a Sentinel that was asked for a failover is asked once more.
const askAgain = 3 * time.Second

// settleTime bounds the wait for servers to agree with each other.
const settleTime = 60 * time.Second

// Sentinel is a Redis master with a replica, and the Sentinel that watches them.
// One goroutine at a time calls its methods.
type Sentinel struct {
	URL string // redis+sentinel://…, for nodes

	watcher         *Redis
	master, replica *Redis
	plain           []string // the servers' arguments without a master to follow
}

// StartSentinel starts the three in dir, which must exist, and returns once the
// replica can take over. downAfter is the silence after which a master counts as
// down.
func StartSentinel(ctx context.Context, dir string, downAfter time.Duration) (_ *Sentinel, err error) {
	s := &Sentinel{plain: []string{"--repl-diskless-sync-delay", "0"}}
	defer func() {
		if err != nil {
			s.Kill()
		}
	}()
	if s.master, err = StartRedis(ctx, dir, s.plain...); err != nil {
		return nil, err
	}
	if s.replica, err = StartRedis(ctx, dir, append(s.plain, follows(s.master)...)...); err != nil {
		return nil, err
	}
	if err := s.replica.await(ctx, "it follows its master", inStep); err != nil {
		return nil, err
	}
	if err := s.startWatcher(ctx, dir, downAfter); err != nil {
		return nil, err
	}
	return s, s.watcher.await(ctx, "it knows the replica", func(ctx context.Context, c *redis.Client) bool {
		return says(ctx, c, "sentinel", "slaves=1")
	})
}

// follows are the arguments of a replica.
func follows(master *Redis) []string {
	host, port, _ := net.SplitHostPort(master.Addr)
	return []string{"--replicaof", host + " " + port}
}

func (s *Sentinel) startWatcher(ctx context.Context, dir string, downAfter time.Duration) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	host, masterPort, _ := net.SplitHostPort(s.master.Addr)
	config := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %s %s %s 1\n", watched, host, masterPort) +
		fmt.Sprintf("sentinel down-after-milliseconds %s %d\n", watched, downAfter.Milliseconds()) +
		fmt.Sprintf("sentinel failover-timeout %s 2000\n", watched)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	r := &Redis{Name: s.master.Name, path: s.master.path, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	r.args = []string{config, "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir}
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("start the Sentinel: %w", err)
	}
	s.watcher, s.URL = r, "redis+sentinel://"+r.Addr+"/"+watched+"/0"
	return nil
}

// Failover asks the Sentinel to make the replica the master, and returns when both
// know their new parts.
func (s *Sentinel) Failover(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	// A failover that it has begun it may give up.
	var asked time.Time
	err := s.watcher.await(ctx, "it begins a failover", func(ctx context.Context, c *redis.Client) bool {
		if time.Since(asked) > askAgain {
			_ = c.Do(ctx, "SENTINEL", "FAILOVER", watched).Err() // one may be under way
			asked = time.Now()
		}
		return names(ctx, c, s.replica)
	})
	if err != nil {
		return err
	}
	if err := s.promoted(ctx); err != nil {
		return err
	}
	// The Sentinel would do this too, some ten seconds later.
	err = s.replica.await(ctx, "it follows the new master", func(ctx context.Context, c *redis.Client) bool {
		host, port, _ := net.SplitHostPort(s.master.Addr)
		return c.Do(ctx, "REPLICAOF", host, port).Err() == nil
	})
	if err != nil {
		return err
	}
	return s.Mend(ctx)
}

// KillMaster ends the master, waits until the Sentinel has found that out and has
// made the replica the master, and starts a replica where the master was.
func (s *Sentinel) KillMaster(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	s.master.Kill()
	if err := s.promoted(ctx); err != nil {
		return err
	}
	return s.Mend(ctx)
}

// Mend starts the replica again if it has ended, and returns when it can take over.
func (s *Sentinel) Mend(ctx context.Context) error {
	r := s.replica
	if !r.ended() {
		return r.await(ctx, "it is in step with its master", inStep)
	}
	host, port, _ := net.SplitHostPort(r.Addr)
	r.args = append([]string{"--port", port, "--bind", host, "--save", "", "--appendonly", "no", "--dir", filepath.Dir(s.watcher.args[0])},
		append(s.plain, follows(s.master)...)...)
	if err := r.Restart(ctx); err != nil {
		return err
	}
	return r.await(ctx, "it is in step with the new master", inStep)
}

// promoted waits until the replica is the master and known as such.
func (s *Sentinel) promoted(ctx context.Context) error {
	heir := s.replica
	err := s.watcher.await(ctx, "it names the new master", func(ctx context.Context, c *redis.Client) bool {
		return names(ctx, c, heir)
	})
	if err != nil {
		return err
	}
	s.master, s.replica = heir, s.master
	return heir.await(ctx, "it is the master", func(ctx context.Context, c *redis.Client) bool {
		return says(ctx, c, "replication", "role:master")
	})
}

// names tells whether the Sentinel says that r is the master.
func names(ctx context.Context, watcher *redis.Client, r *Redis) bool {
	at, err := watcher.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", watched).StringSlice()
	return err == nil && len(at) == 2 && net.JoinHostPort(at[0], at[1]) == r.Addr
}

// Kill ends all three.
func (s *Sentinel) Kill() {
	for _, r := range []*Redis{s.watcher, s.master, s.replica} {
		if r != nil && r.Process != nil {
			r.Kill()
		}
	}
}

func inStep(ctx context.Context, c *redis.Client) bool {
	return says(ctx, c, "replication", "master_link_status:up")
}

// says tells whether INFO has a line that contains text.
func says(ctx context.Context, c *redis.Client, section, text string) bool {
	info, err := c.Info(ctx, section).Result()
	return err == nil && strings.Contains(info, text)
}

// ended tells whether the server's process has.
func (r *Redis) ended() bool {
	select {
	case <-r.Exited():
		return true
	default:
		return false
	}
}

// client returns a client that tries everything once.
func (r *Redis) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Addr, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
}

// await asks the server until ok.
func (r *Redis) await(ctx context.Context, what string, ok func(context.Context, *redis.Client) bool) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	c := r.client()
	defer c.Close()
	for !ok(ctx, c) {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s %s: not reached within %v: %s", r.Name, r.Addr, settleTime, what)
			}
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}
