package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// watched is the name under which Sentinels know their master.
const watched = "mymaster"

const (
	// givenUp is when a Sentinel that has begun a failover is asked for another one.
	givenUp = 3 * time.Second
	// refused is when one is asked again that did not begin a failover: one may be
	// under way, or it has not heard of the replica for a while.
	refused = 100 * time.Millisecond
)

// settleTime bounds the wait for servers to agree with each other. It is reached only by
// a failure, also on a machine that stands still now and then.
const settleTime = 3 * time.Minute

// tiltTrigger is for how long a Sentinel may stand still: after a longer pause it does
// nothing for half a minute. Its default of two seconds is what a busy machine reaches.
const tiltTrigger = time.Hour

// Sentinel is a Redis master with a replica, and the Sentinel that watches them.
// One goroutine at a time calls its methods.
type Sentinel struct {
	URL string // redis+sentinel://…, for nodes

	dir             string
	watcher         *Redis
	master, replica *Redis // as far as it is known: a Sentinel fails over when it thinks fit
}

// replicationArgs are arguments for servers that follow each other: they do so at
// once, and often acknowledge what they have.
func replicationArgs() []string {
	return []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}
}

// StartSentinel starts the three in dir, which must exist, and returns once the
// replica can take over. downAfter is the silence after which a master counts as
// down.
func StartSentinel(ctx context.Context, dir string, downAfter time.Duration) (_ *Sentinel, err error) {
	s := &Sentinel{dir: dir}
	defer func() {
		if err != nil {
			s.Kill()
		}
	}()
	if s.master, err = StartRedis(ctx, dir, replicationArgs()...); err != nil {
		return nil, err
	}
	if s.replica, err = StartRedis(ctx, dir, append(replicationArgs(), follows(s.master)...)...); err != nil {
		return nil, err
	}
	if err := s.startWatcher(ctx, downAfter); err != nil {
		return nil, err
	}
	err = s.watcher.await(ctx, "it knows the replica", func(ctx context.Context, c *redis.Client) bool {
		return says(ctx, c, "sentinel", "slaves=1")
	})
	if err != nil {
		return nil, err
	}
	return s, s.Mend(ctx)
}

// follows are the arguments of a replica.
func follows(master *Redis) []string {
	host, port, _ := net.SplitHostPort(master.Addr)
	return []string{"--replicaof", host + " " + port}
}

func (s *Sentinel) startWatcher(ctx context.Context, downAfter time.Duration) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	host, masterPort, _ := net.SplitHostPort(s.master.Addr)
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %s %s %s 1\n", watched, host, masterPort) +
		fmt.Sprintf("sentinel down-after-milliseconds %s %d\n", watched, downAfter.Milliseconds()) +
		fmt.Sprintf("sentinel failover-timeout %s 2000\n", watched)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	r := &Redis{Name: s.master.Name, path: s.master.path, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	r.args = []string{config, "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--dir", s.dir, "--logfile", "sentinel.log"}
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("start the Sentinel: %w", err)
	}
	_ = r.with(func(c *redis.Client) error { // before Redis 7 there is no such setting
		return c.Do(ctx, "SENTINEL", "DEBUG", "TILT-TRIGGER", tiltTrigger.Milliseconds()).Err()
	})
	s.watcher, s.URL = r, "redis+sentinel://"+r.Addr+"/"+watched+"/0"
	return nil
}

// Failover asks the Sentinel to make the replica the master, and returns when it is
// and is known as such. The old master is still to be mended.
func (s *Sentinel) Failover(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	var next time.Time
	err := s.watcher.await(ctx, "it begins a failover", func(ctx context.Context, c *redis.Client) bool {
		if time.Now().After(next) {
			next = time.Now().Add(givenUp)
			if c.Do(ctx, "SENTINEL", "FAILOVER", watched).Err() != nil {
				next = time.Now().Add(refused)
			}
		}
		return names(ctx, c, s.replica)
	})
	if err != nil {
		return err
	}
	return s.promoted(ctx)
}

// KillMaster ends the master, and returns when the Sentinel has found that out and
// has made the replica the master. What was killed is still to be mended.
func (s *Sentinel) KillMaster(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	s.master.Kill()
	return s.promoted(ctx)
}

// Mend starts the replica again if it has ended, and returns when it can take over.
// Which one that is the Sentinel decides, who may have failed over by itself.
func (s *Sentinel) Mend(ctx context.Context) error {
	err := s.watcher.await(ctx, "it names a master that lives", func(ctx context.Context, c *redis.Client) bool {
		s.learn(ctx, c)
		return !s.master.ended()
	})
	if err != nil {
		return err
	}
	if s.replica.ended() {
		_, port, _ := net.SplitHostPort(s.replica.Addr)
		s.replica.args = append(append(redisArgs(port, s.dir), replicationArgs()...), follows(s.master)...)
		if err := s.replica.Restart(ctx); err != nil {
			return err
		}
	}
	return s.watcher.await(ctx, "its replica is in step with its master", func(ctx context.Context, c *redis.Client) bool {
		s.learn(ctx, c)
		return s.paired(ctx)
	})
}

// learn asks the Sentinel which of the two is the master.
func (s *Sentinel) learn(ctx context.Context, watcher *redis.Client) {
	if names(ctx, watcher, s.replica) {
		s.master, s.replica = s.replica, s.master
	}
}

// paired tells whether the replica is in step with the master, and makes it follow
// it, as the Sentinel would some ten seconds later.
func (s *Sentinel) paired(ctx context.Context) bool {
	host, port, _ := net.SplitHostPort(s.master.Addr)
	replica, master := s.replica.client(), s.master.client()
	defer replica.Close()
	defer master.Close()
	return replica.Do(ctx, "REPLICAOF", host, port).Err() == nil && // it may be doing so
		inStep(ctx, replica) && feeds(ctx, master)
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

// feeds tells whether the server is a master whose writes reach its replica at once:
// between a replica's synchronization and its first acknowledgement, about a second
// later, the master keeps them to itself.
func feeds(ctx context.Context, c *redis.Client) bool {
	info, err := c.Info(ctx, "replication").Result()
	return err == nil && strings.Contains(info, "role:master") && acknowledged.MatchString(info)
}

// acknowledged is what a master says of a replica that has acknowledged something.
var acknowledged = regexp.MustCompile(`(?m)^slave0:.*,state=online,offset=[1-9]`)

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

// client returns a client that tries everything once, for up to settleTime.
func (r *Redis) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: r.Addr, DisableIdentity: true,
		ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1,
		DialTimeout: settleTime, ReadTimeout: settleTime, WriteTimeout: settleTime, PoolTimeout: settleTime})
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
