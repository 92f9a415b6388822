package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience bounds every wait for a server, and every command. It is reached only by a
// failure, also on a machine that stands still for a while.
const patience = 2 * time.Minute

// keeper runs a server and kills it, and removes its directory, when standard
// input ends.
const keeper = `dir=$1; shift
"$@" </dev/null >/dev/null 2>&1 &
echo $!
cat >/dev/null
kill -9 $! 2>/dev/null
wait
rm -rf "$dir"`

// process is one redis-server.
type process struct {
	addr string
	dir  string
	args []string

	pid   int
	shell *exec.Cmd
	leash io.Closer
}

// binary finds redis-server, or ends the test.
func binary(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err == nil {
		return path
	}
	const missing = "redis-server is not installed; get it with `apt-get install redis-server` or `brew install redis`"
	if os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// launch starts a server with args on a free port, in a new directory.
func launch(binary string, args ...string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	p := &process{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir}
	p.args = append([]string{binary,
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
		"--logfile", filepath.Join(dir, "log"), "--save", "", "--appendonly", "no"}, args...)
	return p, p.start()
}

// start starts the server on its port, with more arguments for this once, and waits
// until it answers.
func (p *process) start(more ...string) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	p.shell = exec.Command("/bin/sh", slices.Concat([]string{"-c", keeper, "sh", p.dir}, p.args, more)...)
	leash, err := p.shell.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.shell.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.shell.Start(); err != nil {
		return err
	}
	p.leash = leash
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	if p.pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		return err
	}
	p.awaitPort()
	return p.await("PING is answered", func(ctx context.Context, c *redis.Client) bool {
		return c.Ping(ctx).Err() == nil
	})
}

// awaitPort waits until the server listens, for a while; clients that are refused
// would log it.
func (p *process) awaitPort() {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			_ = conn.Close()
			return
		}
	}
}

// kill ends the server at once. It may be started again.
func (p *process) kill() {
	_ = p.leash.Close()
	_ = p.shell.Wait()
}

// signal sends the server a signal.
func (p *process) signal(s syscall.Signal) error { return syscall.Kill(p.pid, s) }

// await polls the server until ok.
func (p *process) await(what string, ok func(context.Context, *redis.Client) bool) error {
	c := p.client()
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok(ctx, c) {
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("redis-server %s: not reached within %v: %s\n%s", p.addr, patience, what, log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (p *process) client() *redis.Client {
	return redis.NewClient(&redis.Options{Addr: p.addr, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience})
}

// Servers get ports below Linux' default range for outgoing connections, one of which
// could take the port of a server that is about to start, or to start again. A Cluster's
// servers talk to each other on a port 10,000 above.
const firstPort, portCount = 10_000, 10_000

// freePort returns a port that is free, as is the one 10,000 above it.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		if listenable(port) && listenable(port+10_000) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found from %d to %d", firstPort, firstPort+portCount-1)
}

// FreeAddr returns an address of this host that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func listenable(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
