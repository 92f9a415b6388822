package redisproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

// settleTime bounds each wait for a server, and each command. It is reached only by a
// failure, also on a machine that stands still now and then.
const settleTime = 3 * time.Minute

// pollEvery is how often a server is asked for what is awaited.
const pollEvery = 10 * time.Millisecond

// startAttempts is how many ports are tried: another process may take a free one
// before the server does.
const startAttempts = 3

// ErrNoRedis says that neither redis-server nor valkey-server is installed.
var ErrNoRedis = errors.New("neither redis-server nor valkey-server is installed")

// Server is a Redis server that keeps nothing on disk. Of the methods that start or end
// it one may run at a time, and no other meanwhile.
type Server struct {
	*child.Process
	Name    string // redis-server or valkey-server
	Version string
	Addr    string // host:port
	URL     string // redis://host:port

	path string
	dir  string
	args []string
}

// Start starts redis-server, or else valkey-server, on a free port of 127.0.0.1 and
// returns once it answers. The server works in dir, which must exist, and logs to a
// file there. args are further arguments of the server, such as "--maxmemory", "2mb".
func Start(ctx context.Context, dir string, args ...string) (*Server, error) {
	name, path, err := find()
	if err != nil {
		return nil, err
	}
	return startOn(ctx, &Server{Name: name, path: path, dir: dir}, func(port string) []string {
		return append(storeArgs(dir, port), args...)
	})
}

// find looks for an installed server.
func find() (name, path string, err error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return name, path, nil
		}
	}
	return "", "", ErrNoRedis
}

// startOn starts a server with the arguments for the port that it gets.
func startOn(ctx context.Context, r *Server, args func(port string) []string) (*Server, error) {
	for attempt := 1; ; attempt++ {
		port, err := FreePort()
		if err != nil {
			return nil, err
		}
		r.Addr = net.JoinHostPort("127.0.0.1", port)
		r.URL, r.args = "redis://"+r.Addr, args(port)
		switch err = r.start(ctx); {
		case err == nil:
			return r, nil
		case !errors.Is(err, child.ErrEndedAtOnce) || attempt == startAttempts:
			return nil, fmt.Errorf("start %s: %w", r.Name, err)
		}
	}
}

// storeArgs are the arguments of a server that keeps data.
func storeArgs(dir, port string) []string {
	return append(serverArgs(dir, port), "--save", "", "--appendonly", "no")
}

// serverArgs are the arguments of every server.
func serverArgs(dir, port string) []string {
	return []string{"--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--logfile", "redis-" + port + ".log"} // in dir, where the server is by then
}

// Kill ends the server that runs now, as a power cut would. Its port refuses
// connections until Restart.
func (r *Server) Kill() { r.Process.Kill() }

// Stop asks the server that runs now to end, and insists when ctx ends.
func (r *Server) Stop(ctx context.Context) { r.Process.Stop(ctx) }

// Restart kills the server if it runs, and starts it again: empty, on the same
// address, with more arguments for this once.
func (r *Server) Restart(ctx context.Context, more ...string) error {
	r.Kill()
	_ = os.Remove(r.snapshotFile()) // of Snapshot, or of a replica's synchronization
	return r.startAgain(ctx, more...)
}

// startAgain starts the server, which was killed, with what is in its directory.
func (r *Server) startAgain(ctx context.Context, more ...string) error {
	if err := r.start(ctx, more...); err != nil {
		return fmt.Errorf("start %s again: %w", r.Name, err)
	}
	return nil
}

func (r *Server) start(ctx context.Context, more ...string) (err error) {
	p, err := child.Start(exec.Command(r.path, slices.Concat(r.args, more)...))
	if err != nil {
		return err
	}
	r.Process = p
	if r.Version, err = r.awaitVersion(ctx); err != nil {
		r.Kill()
	}
	return err
}

var versionLine = regexp.MustCompile(`(?m)^(?:valkey|redis)_version:(\S+)`)

// awaitVersion returns the server's version once the server answers. Whoever answers at
// its address must be it: another process may have taken the port.
func (r *Server) awaitVersion(ctx context.Context) (version string, err error) {
	err = r.Await(ctx, "it answers", func(ctx context.Context, c *redis.Client) bool {
		if !r.listens() { // go-redis would log the refusal
			return false
		}
		info, err := c.Info(ctx, "server").Result()
		version = lastMatch(versionLine, info)
		return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", r.PID()))
	})
	return version, err
}

func (r *Server) listens() bool {
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// lastMatch finds Valkey's own version, which stands behind that of the Redis that
// Valkey is compatible with.
func lastMatch(re *regexp.Regexp, text string) string {
	all := re.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// port is the port of the server's address.
func (r *Server) port() string {
	_, port, _ := net.SplitHostPort(r.Addr)
	return port
}

// AwaitUptime returns when the server has been up for at least a second. INFO rounds
// the uptime up, so two seconds must be reported.
func (r *Server) AwaitUptime(ctx context.Context) error {
	return r.Await(ctx, "it is up for a second", func(ctx context.Context, c *redis.Client) bool {
		info, err := c.Info(ctx, "server").Result()
		_, rest, found := strings.Cut(info, "uptime_in_seconds:")
		line, _, _ := strings.Cut(rest, "\r\n")
		seconds, numberErr := strconv.Atoi(line)
		return err == nil && found && numberErr == nil && seconds >= 2
	})
}
