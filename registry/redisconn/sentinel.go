package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxSentinels bounds the Sentinels that are asked: those of the URL, and those
	// that they name.
	maxSentinels = 16
	// sentinelGrace is the grace of Sentinels: some round trips on any network.
	sentinelGrace = 100 * time.Millisecond
)

// sentinels finds the master that Sentinels watch. All are asked side by side, so one that
// hangs holds up nothing. One that was cut off from the others, and names an earlier
// master, is outvoted: each failover has a number, and the highest counts.
type sentinels struct {
	master  string        // its name
	options redis.Options // of a client of a Sentinel, but for its address
	grace   time.Duration // how long the slower half is waited for once one has answered

	mu    sync.Mutex
	addrs []string
}

// elected is a master, and in which failover it became it.
type elected struct {
	addr  string // host:port
	epoch uint64 // 0: the Sentinel does not say
}

// report is a Sentinel's answer.
type report struct {
	from   string
	master elected
	others []string // Sentinels that it knows
	err    error
}

// find asks all Sentinels on connections of their own.
func (s *sentinels) find(ctx context.Context) (elected, error) {
	open := func(addr string) (*redis.Client, func(bool)) {
		c := s.client(addr)
		return c, func(bool) { _ = c.Close() }
	}
	// The answer must leave time to connect to the master.
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	return s.vote(ctx, false, open)
}

// client returns a client of one Sentinel.
func (s *sentinels) client(addr string) *redis.Client {
	opts := s.options
	opts.Addr = addr
	return redis.NewClient(&opts)
}

// vote asks all Sentinels at once and returns the master of the newest failover that the
// faster half of them knows; with all, that those know which answer within the grace after
// the first. open opens a client, and returns a function that takes it back and is told
// whether the client can be used again.
func (s *sentinels) vote(ctx context.Context, all bool, open func(addr string) (*redis.Client, func(bool))) (elected, error) {
	s.mu.Lock()
	addrs := slices.Clone(s.addrs)
	s.mu.Unlock()
	asking, cancel := context.WithCancel(ctx)
	reports := make(chan report, len(addrs))
	var asked sync.WaitGroup
	for _, addr := range addrs {
		c, done := open(addr)
		asked.Go(func() {
			// go-redis does not look at ctx while it waits for an answer.
			unhook := context.AfterFunc(asking, func() { _ = c.Close() })
			reports <- s.ask(asking, c, addr)
			done(unhook())
		})
	}
	defer asked.Wait()
	defer cancel()

	var best elected
	var failed []error
	var late <-chan time.Time
	for heard := 0; heard < len(addrs) && (late == nil || all || heard <= len(addrs)/2); {
		select {
		case <-late:
			return best, nil
		case r := <-reports:
			heard++
			if r.err != nil {
				failed = append(failed, r.err)
				continue
			}
			s.learn(r.others)
			if late == nil || r.master.epoch > best.epoch {
				best = r.master
			}
			if late == nil {
				late = time.After(s.grace)
			}
		}
	}
	if late == nil {
		return elected{}, fmt.Errorf("no Sentinel names the master %q: %w", s.master, errors.Join(failed...))
	}
	return best, nil
}

// ask asks one Sentinel who the master is, in which failover it became it, and which
// other Sentinels there are. Only the first must be answered.
func (s *sentinels) ask(ctx context.Context, c *redis.Client, addr string) report {
	pipe := c.Pipeline()
	master := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", s.master)
	state := redis.NewMapStringStringCmd(ctx, "sentinel", "master", s.master)
	others := redis.NewMapStringStringSliceCmd(ctx, "sentinel", "sentinels", s.master)
	for _, cmd := range []redis.Cmder{master, state, others} {
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx)
	at, err := master.Result()
	switch {
	case errors.Is(err, redis.Nil):
		return report{err: fmt.Errorf("Sentinel %s: it watches no master of this name", addr)}
	case err != nil:
		return report{err: fmt.Errorf("Sentinel %s: %w", addr, err)}
	case len(at) != 2:
		return report{err: fmt.Errorf("Sentinel %s: its answer has %d parts, not host and port", addr, len(at))}
	}
	r := report{from: addr, master: elected{addr: net.JoinHostPort(at[0], at[1])}}
	r.master.epoch, _ = strconv.ParseUint(state.Val()["config-epoch"], 10, 64)
	for _, other := range others.Val() {
		if other["ip"] != "" && other["port"] != "" {
			r.others = append(r.others, net.JoinHostPort(other["ip"], other["port"]))
		}
	}
	return r
}

// learn adds Sentinels, up to maxSentinels: the URL need not name all, and not all that it
// names live for ever.
func (s *sentinels) learn(addrs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, addr := range addrs {
		if len(s.addrs) < maxSentinels && !slices.Contains(s.addrs, addr) {
			s.addrs = append(s.addrs, addr)
		}
	}
}
