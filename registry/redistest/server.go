package redistest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// patience bounds commands of a PatientClient. It is reached only by a failure, also on
// a machine that stands still for a while.
const patience = 2 * time.Minute

// Server is a Redis server, or a test's share of one. What a shared server must not be
// asked to do, because other tests would notice, fails the test.
type Server struct {
	Addr   string // host:port
	Prefix string // for keys and channels; no other test of the process has it

	t   testing.TB
	own bool
	p   *redisproc.Server
}

// Start returns the server that the process's tests share.
func Start(t testing.TB) *Server {
	t.Helper()
	p, err := sharedServer()
	p = started(t, p, err)
	return &Server{Addr: p.Addr, Prefix: newPrefix(), t: t, p: p}
}

// StartOwn starts a server that ends with the test. args are further arguments
// of redis-server, such as "--maxmemory", "2mb".
func StartOwn(t testing.TB, args ...string) *Server {
	t.Helper()
	p, err := redisproc.Start(t.Context(), t.TempDir(), args...)
	return own(t, started(t, p, err), newPrefix())
}

// StartReplica starts a replica of a server of one's own, and returns when it is in
// step. It ends with the test.
func StartReplica(t testing.TB, master *Server) *Server {
	t.Helper()
	p, err := redisproc.StartReplica(t.Context(), t.TempDir(), master.mine("StartReplica"))
	return own(t, started(t, p, err), master.Prefix)
}

// own ends a server with the test.
func own(t testing.TB, p *redisproc.Server, prefix string) *Server {
	t.Cleanup(p.Kill)
	return &Server{Addr: p.Addr, Prefix: prefix, t: t, own: true, p: p}
}

// mine returns the server, unless it is shared.
func (s *Server) mine(what string) *redisproc.Server {
	s.t.Helper()
	if !s.own {
		s.t.Fatalf("redistest: %s of the shared server; use StartOwn", what)
	}
	return s.p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// URL returns the server's URL.
func (s *Server) URL() string { return s.p.URL }

// Client returns a client that is closed when t ends. It has go-redis' own timeouts.
func (s *Server) Client(t testing.TB) *redis.Client { return clientAt(t, s.Addr, 0) }

// PatientClient is Client, but commands end with their context, or when the connection
// does, and not because the machine stood still.
func (s *Server) PatientClient(t testing.TB) *redis.Client { return clientAt(t, s.Addr, patience) }

// clientAt returns a client with those timeouts; 0 are go-redis' own.
func clientAt(t testing.TB, addr string, timeout time.Duration) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server as a power cut would. Its port refuses connections until
// Restart.
func (s *Server) Kill() { s.t.Helper(); s.mine("Kill").Kill() }

// Restart starts the server again, empty, on the same address; it kills it
// first if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	must(s.t, s.mine("Restart").Restart(context.Background()))
}

// Snapshot returns the server's data, as RestartFrom takes them.
func (s *Server) Snapshot() []byte {
	s.t.Helper()
	data, err := s.mine("Snapshot").Snapshot(context.Background())
	must(s.t, err)
	return data
}

// RestartFrom is Restart with a Snapshot's data. It returns when they are loaded;
// with a delay for each key that takes as long as a test needs. Any goroutine may call
// it.
func (s *Server) RestartFrom(snapshot []byte, delay time.Duration) {
	s.t.Helper()
	if err := s.mine("RestartFrom").RestartFrom(context.Background(), snapshot, delay); err != nil {
		s.t.Error(err)
	}
}

// Stop shuts the server down in an orderly way.
func (s *Server) Stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.mine("Stop").Stop(ctx)
}

// Pause stops the server's process; connections stay open and nothing answers
// until Resume.
func (s *Server) Pause() { s.t.Helper(); must(s.t, s.mine("Pause").Pause()) }

// Resume undoes Pause.
func (s *Server) Resume() { s.t.Helper(); must(s.t, s.p.Resume()) }

// Promote makes a replica a master of its own. Whatever it replicated stays one, too,
// until it is told otherwise; see Demote.
func (s *Server) Promote() {
	s.t.Helper()
	must(s.t, s.mine("Promote").Promote(context.Background()))
}

// Demote makes a server a replica of another one. Clients' connections stay open.
func (s *Server) Demote(to *Server) {
	s.t.Helper()
	must(s.t, s.mine("Demote").Follow(context.Background(), to.p))
}

// AwaitUptime returns when the server is up for a second, as it must be for an
// epoch to settle.
func (s *Server) AwaitUptime() { s.t.Helper(); must(s.t, s.p.AwaitUptime(context.Background())) }

// FailSaves makes the server's attempts to save fail from now on, as a full disk
// would, and returns when one has.
func (s *Server) FailSaves() {
	s.t.Helper()
	must(s.t, s.mine("FailSaves").FailSaves(context.Background()))
}

// CommandCount returns how often each of the commands was called since the start
// or ResetStats. Names are in lower case. What a script calls counts too.
func (s *Server) CommandCount(t testing.TB, names ...string) map[string]int {
	t.Helper()
	all := s.CommandCounts(t)
	counts := make(map[string]int, len(names))
	for _, name := range names {
		counts[name] = all[name]
	}
	return counts
}

// CommandCounts is CommandCount of all commands that were called, by name, but for HELLO
// and INFO, by which it counts. Subcommands have names like "client|list".
func (s *Server) CommandCounts(t testing.TB) map[string]int {
	t.Helper()
	info, err := s.p.Do(t.Context(), "INFO", "commandstats")
	must(t, err)
	counts := make(map[string]int)
	for line := range strings.Lines(fmt.Sprint(info)) {
		name, stat, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		calls, _, _ := strings.Cut(stat, ",")
		counts[name], err = strconv.Atoi(calls)
		must(t, err)
	}
	delete(counts, "hello")
	delete(counts, "info")
	return counts
}

// ResetStats makes CommandCount begin at zero.
func (s *Server) ResetStats() {
	s.t.Helper()
	_, err := s.mine("ResetStats").Do(context.Background(), "CONFIG", "RESETSTAT")
	must(s.t, err)
}

// FreeAddr returns an address of this host that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := redisproc.FreePort()
	must(t, err)
	return net.JoinHostPort("127.0.0.1", port)
}

// Noise returns n bytes that no snapshot makes smaller.
func Noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}
