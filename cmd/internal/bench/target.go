package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/cmd/internal/nodeproc"
	"github.com/beeline-ws/beeline/cmd/internal/report"
	"github.com/beeline-ws/beeline/registry/redisproc"
	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

// stopTime is what the processes of a target get to end.
const stopTime = 10 * time.Second

// site is the cluster that one point drives.
type site struct {
	urls  []string // of the nodes, for clients
	nodes []*nodeproc.Node
	gauge *gauge
	close func()

	killed atomic.Pointer[nodeproc.Node] // its end is wanted
	died   chan error                    // which nodes have ended of themselves; nil: not known
}

// explain tells a node that has ended, or is about to, from what that led to.
func (s *site) explain(err error) error {
	select {
	case why := <-s.died:
		return why
	case <-time.After(exitTime):
		return err
	}
}

// target provides clusters to drive.
type target interface {
	// open starts a cluster for a point, or finds the one that runs. fail is called
	// when one of its processes ends of itself.
	open(ctx context.Context, p *report.Point, fail context.CancelCauseFunc) (*site, error)
	// explain finds out why a point failed, where the target knows better.
	explain(err error) error
	about() string // what it is, for people
	redisVersion() string
	close()
}

// private is processes of this program's own: one Redis, and nodes for each point.
type private struct {
	binary string
	dir    string
	redis  *redisproc.Server
	opened int
}

func newPrivate(ctx context.Context, binary string) (*private, error) {
	dir, err := os.MkdirTemp("", "beeline-bench-")
	if err != nil {
		return nil, err
	}
	server, err := redisproc.Start(ctx, dir)
	if errors.Is(err, redisproc.ErrNoRedis) {
		err = fmt.Errorf("%w; install one, or give --url to drive a cluster that runs", err)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &private{binary: binary, dir: dir, redis: server}, nil
}

func (t *private) about() string {
	return fmt.Sprintf("processes of its own on one machine: %s %s, and the nodes", t.redis.Name, t.redis.Version)
}

func (t *private) redisVersion() string { return t.redis.Name + " " + t.redis.Version }

func (t *private) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	t.redis.Stop(ctx)
	_ = os.RemoveAll(t.dir) // temporary
}

// open starts the nodes of a point. They share the Redis with the nodes of other
// points, which have ended, under a prefix of their own.
func (t *private) open(ctx context.Context, p *report.Point, fail context.CancelCauseFunc) (*site, error) {
	t.opened++
	env := []string{
		"BEELINE_DELIVERY=" + string(p.Arm), fmt.Sprintf("BEELINE_KEY_PREFIX=bench%d", t.opened),
		"BEELINE_LOG_LEVEL=info", // it says where a node listens
	}
	if p.Arm == report.Targeted { // as it is meant to be used; the others sign nothing
		env = append(env, "BEELINE_CLUSTER_KEY="+nodeproc.NewKey())
	}
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	go watch(watching, t.redis.Process, func() { fail(t.redisDied()) }) // nodes would wait for it for long
	s := &site{nodes: make([]*nodeproc.Node, p.Nodes), died: make(chan error, p.Nodes)}
	errs := make([]error, p.Nodes)
	var starting sync.WaitGroup
	for i := range p.Nodes {
		starting.Go(func() {
			s.nodes[i], errs[i] = nodeproc.Start(ctx, nodeproc.Options{
				Binary: t.binary, Name: fmt.Sprintf("n%d", i+1), RedisURL: t.redis.URL, Env: env,
			})
		})
	}
	starting.Wait()
	s.close = func() {
		unwatch()
		s.kill()
	}
	err := errors.Join(errs...)
	if err == nil {
		s.gauge, err = newGauge(ctx, t.redis.URL)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.gauge.nodes, s.gauge.redis = s.nodes, t.redis
	for _, n := range s.nodes {
		s.urls, s.gauge.admins = append(s.urls, n.URL), append(s.gauge.admins, n.Admin)
		go watch(watching, n.Process, func() {
			if s.killed.Load() != n {
				err := fmt.Errorf("node %s ended of itself, %s\n%s", n.Name, howEnded(n.Process), n.Log())
				s.died <- err
				fail(err)
			}
		})
	}
	return s, nil
}

// exitTime is how long after its connections a process may end.
const exitTime = 300 * time.Millisecond

// explain tells a Redis that has ended from what that led to.
func (t *private) explain(err error) error {
	select {
	case <-t.redis.Exited():
		return t.redisDied()
	case <-time.After(exitTime):
		return err
	}
}

// redisDied reports whether the Redis has ended, and how.
func (t *private) redisDied() error {
	select {
	case <-t.redis.Exited():
		return fmt.Errorf("Redis ended in mid-run, %s", howEnded(t.redis.Process))
	default:
		return nil
	}
}

// howEnded says with what a process ended that has.
func howEnded(p *child.Process) string {
	if err := p.Err(); err != nil {
		return err.Error()
	}
	return "exit status 0"
}

// watch calls ended when a process ends before ctx does.
func watch(ctx context.Context, p *child.Process, ended func()) {
	select {
	case <-p.Exited():
		ended()
	case <-ctx.Done():
	}
}

// kill ends the nodes at once: their leases would be released one by one, and
// nobody reads them any more.
func (s *site) kill() {
	if s.gauge != nil {
		s.gauge.close()
	}
	for _, n := range s.nodes {
		if n != nil {
			n.Kill()
		}
	}
}

// probeTimeout bounds finding out what all URLs of a running cluster are.
const probeTimeout = 10 * time.Second

// running is a cluster that others started.
type running struct {
	urls, admins []string
	redisURL     string
}

// newRunning finds out whether the URLs are those of nodes.
func newRunning(ctx context.Context, o *Options) (*running, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for _, u := range o.URLs {
		c, err := client.Dial(ctx, u, "bench-probe")
		if err != nil {
			return nil, fmt.Errorf("%s does not answer as a beeline node: %w", u, err)
		}
		c.Close()
	}
	t := &running{admins: o.Admins, redisURL: o.RedisURL}
	for _, u := range o.URLs {
		full, err := client.NodeURL(u)
		if err != nil {
			return nil, err
		}
		t.urls = append(t.urls, full)
	}
	g, err := newGauge(ctx, o.RedisURL)
	if err != nil {
		return nil, err
	}
	defer g.close()
	g.admins = t.admins
	_, err = g.before(ctx)
	return t, err
}

func (t *running) open(ctx context.Context, _ *report.Point, _ context.CancelCauseFunc) (*site, error) {
	g, err := newGauge(ctx, t.redisURL)
	if err != nil {
		return nil, err
	}
	g.admins = t.admins
	return &site{urls: t.urls, gauge: g, close: g.close}, nil
}

func (t *running) about() string {
	return fmt.Sprintf("a cluster that was running: %d nodes, of which no processor time is known", len(t.urls))
}

func (t *running) explain(err error) error { return err }
func (t *running) redisVersion() string    { return "" }
func (t *running) close()                  {}
