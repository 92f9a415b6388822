package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a Redis server, or a test's share of one.
type Server struct {
	Addr   string // host:port
	Prefix string // for keys and channels; no other test of the process has it

	t   testing.TB
	own bool
	p   *process
}

var (
	shared   = sync.OnceValues(launchShared)
	prefixes atomic.Uint64
)

// Start returns the server that the process's tests share. What it must not be
// asked to do, because others would notice, fails the test.
func Start(t testing.TB) *Server {
	t.Helper()
	binary(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return &Server{Addr: p.addr, Prefix: newPrefix(), t: t, p: p}
}

func launchShared() (*process, error) {
	p, err := launch("redis-server")
	if err != nil {
		return nil, err
	}
	return p, p.await("it is up for a second", upForASecond)
}

// upForASecond tells whether the server is, for certain: what it says is up to a second
// more.
func upForASecond(ctx context.Context, c *redis.Client) bool {
	info, err := c.Info(ctx, "server").Result()
	return err == nil && !strings.Contains(info, "uptime_in_seconds:0\r\n") && !strings.Contains(info, "uptime_in_seconds:1\r\n")
}

func newPrefix() string { return fmt.Sprintf("test%d", prefixes.Add(1)) }

// StartOwn starts a server that ends with the test. args are further arguments
// of redis-server, such as "--maxmemory", "2mb".
func StartOwn(t testing.TB, args ...string) *Server {
	t.Helper()
	p := launchFor(t, args...)
	return &Server{Addr: p.addr, Prefix: newPrefix(), t: t, own: true, p: p}
}

func launchFor(t testing.TB, args ...string) *process {
	t.Helper()
	p, err := launch(binary(t), args...)
	if p != nil && p.leash != nil {
		t.Cleanup(p.kill)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// URL returns the server's URL.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Client returns a client that is closed when t ends. It has go-redis' own timeouts.
func (s *Server) Client(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// PatientClient is Client, but commands end with their context, or when the connection
// does, and not because the machine stood still.
func (s *Server) PatientClient(t testing.TB) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server as a power cut would. Its port refuses connections until
// Restart.
func (s *Server) Kill() {
	s.t.Helper()
	s.mustOwn("Kill")
	s.p.kill()
}

// Restart starts the server again, empty, on the same address; it kills it
// first if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.mustOwn("Restart")
	s.p.kill()
	if err := s.p.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Snapshot returns the server's data, as RestartFrom takes them.
func (s *Server) Snapshot() []byte {
	s.t.Helper()
	s.mustOwn("Snapshot")
	c := s.p.client()
	defer func() { _ = c.Close() }()
	if err := c.Save(context.Background()).Err(); err != nil {
		s.t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.p.dir, "dump.rdb"))
	if err != nil {
		s.t.Fatal(err)
	}
	return data
}

// RestartFrom is Restart with a Snapshot's data. It returns when they are loaded;
// with a delay for each key that takes as long as a test needs.
func (s *Server) RestartFrom(snapshot []byte, delay time.Duration) {
	s.t.Helper()
	s.mustOwn("RestartFrom")
	s.p.kill()
	if err := os.MkdirAll(s.p.dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.p.dir, "dump.rdb"), snapshot, 0o600); err != nil {
		s.t.Fatal(err)
	}
	slow := []string{"--key-load-delay", strconv.FormatInt(delay.Microseconds(), 10), "--loading-process-events-interval-bytes", "1024"}
	if err := s.p.start(slow...); err != nil {
		s.t.Error(err)
	}
}

// Stop shuts the server down in an orderly way.
func (s *Server) Stop() {
	s.t.Helper()
	s.mustOwn("Stop")
	c := s.p.client()
	defer func() { _ = c.Close() }()
	_ = c.ShutdownNoSave(context.Background()).Err() // the answer is a closed connection
	s.p.kill()
}

// Pause stops the server's process; connections stay open and nothing answers
// until Resume.
func (s *Server) Pause() {
	s.t.Helper()
	s.mustOwn("Pause")
	s.signal(syscall.SIGSTOP)
}

// Resume undoes Pause.
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.p.signal(sig); err != nil {
		s.t.Fatalf("signal redis-server: %v", err)
	}
}

// CommandCount returns how often each of the commands was called since the start
// or ResetStats. Names are in lower case. What a script calls counts too.
func (s *Server) CommandCount(t testing.TB, names ...string) map[string]int {
	t.Helper()
	info, err := s.Client(t).Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int, len(names))
	for _, name := range names {
		counts[name] = 0
		_, stat, ok := strings.Cut(info, "cmdstat_"+name+":calls=")
		if !ok {
			continue
		}
		calls, _, _ := strings.Cut(stat, ",")
		if counts[name], err = strconv.Atoi(calls); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

// ResetStats makes CommandCount begin at zero.
func (s *Server) ResetStats() {
	s.t.Helper()
	s.mustOwn("ResetStats")
	c := s.p.client()
	defer func() { _ = c.Close() }()
	if err := c.ConfigResetStat(context.Background()).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// AwaitUptime returns when the server is up for a second, as it must be for an
// epoch to settle.
func (s *Server) AwaitUptime() {
	s.t.Helper()
	if err := s.p.await("it is up for a second", upForASecond); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) mustOwn(what string) {
	s.t.Helper()
	if !s.own {
		s.t.Fatalf("redistest: %s of the shared server; use StartOwn", what)
	}
}

// FailSaves makes the server's attempts to save fail from now on, as a full disk
// would, and returns when one has.
func (s *Server) FailSaves() {
	s.t.Helper()
	s.mustOwn("FailSaves")
	if err := os.RemoveAll(s.p.dir); err != nil {
		s.t.Fatal(err)
	}
	s.do("BGSAVE")
	s.reach("a save has failed", func(ctx context.Context, c *redis.Client) bool {
		return infoHas(ctx, c, "persistence", "rdb_last_bgsave_status:err")
	})
}
