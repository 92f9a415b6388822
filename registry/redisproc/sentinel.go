package redisproc

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// masterName is the name under which Sentinels know their master.
const masterName = "mymaster"

const (
	// repeatFailover is when a Sentinel that has begun a failover is asked for another
	// one: it may have given up.
	repeatFailover = 3 * time.Second
	// repeatRefused is when a Sentinel is asked again that did not begin a failover: one
	// may be under way, or it has not heard of the replica for a while.
	repeatRefused = 100 * time.Millisecond
)

// tiltTrigger is for how long a Sentinel may stand still: after a longer pause it does
// nothing for half a minute. Its default of two seconds is what a busy machine reaches.
const tiltTrigger = time.Hour

// Sentinel is a Redis master with a replica, and the Sentinel that watches them.
// One goroutine at a time calls its methods.
type Sentinel struct {
	URL  string // redis+sentinel://…, for nodes
	Addr string // host:port of the Sentinel
	// Master and Replica are those of the last time that the Sentinel was asked, as by
	// Mend: it fails over when it thinks fit.
	Master, Replica *Server

	watcher *Server
}

// StartSentinel starts the three in directories of their own in dir, which must exist,
// and returns once the replica can take over. downAfter is the silence after which a
// master counts as down.
func StartSentinel(ctx context.Context, dir string, downAfter time.Duration) (_ *Sentinel, err error) {
	s := &Sentinel{}
	defer func() {
		if err != nil {
			s.Kill()
		}
	}()
	var dirs [3]string
	for i, name := range []string{"one", "two", "sentinel"} {
		dirs[i] = filepath.Join(dir, name)
		if err := os.Mkdir(dirs[i], 0o700); err != nil {
			return nil, err
		}
	}
	if s.Master, err = Start(ctx, dirs[0], replicationArgs()...); err != nil {
		return nil, err
	}
	if s.Replica, err = StartReplica(ctx, dirs[1], s.Master); err != nil {
		return nil, err
	}
	if err := s.startWatcher(ctx, dirs[2], downAfter); err != nil {
		return nil, err
	}
	err = s.watcher.Await(ctx, "it knows the replica", func(ctx context.Context, c *redis.Client) bool {
		return infoContains(ctx, c, "sentinel", "slaves=1")
	})
	if err != nil {
		return nil, err
	}
	return s, s.Mend(ctx)
}

func (s *Sentinel) startWatcher(ctx context.Context, dir string, downAfter time.Duration) (err error) {
	host, port, _ := net.SplitHostPort(s.Master.Addr)
	config := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %s %s %s 1\n", masterName, host, port) +
		fmt.Sprintf("sentinel down-after-milliseconds %s %d\n", masterName, downAfter.Milliseconds()) +
		fmt.Sprintf("sentinel failover-timeout %s 2000\n", masterName)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	s.watcher, err = startOn(ctx, &Server{Name: s.Master.Name, path: s.Master.path, dir: dir}, func(port string) []string {
		return append([]string{config, "--sentinel"}, serverArgs(dir, port)...)
	})
	if err != nil {
		return fmt.Errorf("the Sentinel: %w", err)
	}
	// Before Redis 7 there is no such setting.
	_, _ = s.watcher.Do(ctx, "SENTINEL", "DEBUG", "TILT-TRIGGER", strconv.FormatInt(tiltTrigger.Milliseconds(), 10))
	s.Addr = s.watcher.Addr
	s.URL = "redis+sentinel://" + s.Addr + "/" + masterName + "/0"
	return nil
}

// Failover asks the Sentinel to make the replica the master, and returns when it is
// and is known as such. The old master is still to be mended.
func (s *Sentinel) Failover(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	var next time.Time
	err := s.watcher.Await(ctx, "it begins a failover", func(ctx context.Context, c *redis.Client) bool {
		if time.Now().After(next) {
			next = time.Now().Add(repeatFailover)
			if c.Do(ctx, "SENTINEL", "FAILOVER", masterName).Err() != nil {
				next = time.Now().Add(repeatRefused)
			}
		}
		return isNamed(ctx, c, s.Replica)
	})
	if err != nil {
		return err
	}
	return s.awaitPromotion(ctx)
}

// KillMaster ends the master, and returns when the Sentinel has found that out and
// has made the replica the master. What was killed is still to be mended.
func (s *Sentinel) KillMaster(ctx context.Context) error {
	if err := s.Mend(ctx); err != nil {
		return err
	}
	s.Master.Kill()
	return s.awaitPromotion(ctx)
}

// Mend starts the replica again if it has ended, and returns when it can take over.
// Which one that is the Sentinel decides, who may have failed over by itself.
func (s *Sentinel) Mend(ctx context.Context) error {
	err := s.watcher.Await(ctx, "it names a master that lives", func(ctx context.Context, c *redis.Client) bool {
		s.learn(ctx, c)
		return !s.Master.Ended()
	})
	if err != nil {
		return err
	}
	if s.Replica.Ended() {
		if err := s.Replica.Restart(ctx, followArgs(s.Master)...); err != nil {
			return err
		}
	}
	return s.watcher.Await(ctx, "its replica is in step with its master", func(ctx context.Context, c *redis.Client) bool {
		s.learn(ctx, c)
		return s.paired(ctx)
	})
}

// learn asks the Sentinel which of the two is the master.
func (s *Sentinel) learn(ctx context.Context, watcher *redis.Client) {
	if isNamed(ctx, watcher, s.Replica) {
		s.Master, s.Replica = s.Replica, s.Master
	}
}

// paired reports whether the replica is in step with the master, and makes it follow
// the master, as the Sentinel would some ten seconds later.
func (s *Sentinel) paired(ctx context.Context) bool {
	if s.Replica.Follow(ctx, s.Master) != nil { // it may do so already
		return false
	}
	replica, master := s.Replica.client(), s.Master.client()
	defer replica.Close()
	defer master.Close()
	info, err := master.Info(ctx, "replication").Result()
	return err == nil && fed(info) == 1 && inStep(ctx, replica)
}

// awaitPromotion waits until the replica is the master and known as such.
func (s *Sentinel) awaitPromotion(ctx context.Context) error {
	heir := s.Replica
	err := s.watcher.Await(ctx, "it names the new master", func(ctx context.Context, c *redis.Client) bool {
		return isNamed(ctx, c, heir)
	})
	if err != nil {
		return err
	}
	s.Master, s.Replica = heir, s.Master
	return heir.AwaitMaster(ctx)
}

// isNamed reports whether the Sentinel says that r is the master.
func isNamed(ctx context.Context, watcher *redis.Client, r *Server) bool {
	at, err := watcher.Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
	return err == nil && len(at) == 2 && net.JoinHostPort(at[0], at[1]) == r.Addr
}

// Kill ends all three.
func (s *Sentinel) Kill() {
	for _, r := range []*Server{s.watcher, s.Master, s.Replica} {
		if r != nil && r.Process != nil {
			r.Kill()
		}
	}
}
