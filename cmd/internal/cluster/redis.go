package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

const (
	redisStartTime = time.Minute
	// redisPorts is how many ports are tried: another process may take a free one
	// before the server does.
	redisPorts = 3
)

// ErrNoRedis says that neither redis-server nor valkey-server is installed.
var ErrNoRedis = errors.New("neither redis-server nor valkey-server is installed")

// Redis is a server that keeps nothing on disk.
type Redis struct {
	*Process
	Name    string // redis-server or valkey-server
	Version string
	Addr    string // host:port
	URL     string // redis://host:port

	path string
	args []string
}

// StartRedis starts redis-server, or else valkey-server, on a free port of
// 127.0.0.1 and returns once it answers. It works in dir, which must exist, and logs
// to a file there. args are further arguments of the server, such as "--maxmemory",
// "2mb".
func StartRedis(ctx context.Context, dir string, args ...string) (*Redis, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		r := &Redis{Name: name, path: path}
		for range redisPorts {
			if err = r.startSomewhere(ctx, dir, args); !errors.Is(err, errEndedAtOnce) {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		return r, nil
	}
	return nil, ErrNoRedis
}

func (r *Redis) startSomewhere(ctx context.Context, dir string, args []string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	r.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	r.URL = "redis://" + r.Addr
	r.args = append(redisArgs(strconv.Itoa(port), dir), args...)
	return r.start(ctx)
}

func redisArgs(port, dir string) []string {
	return []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", dir, "--logfile", "redis-" + port + ".log"} // below dir, where it is by then
}

// Kill ends the server that runs now.
func (r *Redis) Kill() { r.Process.Kill() }

// Stop asks the server that runs now to end, and insists when ctx ends.
func (r *Redis) Stop(ctx context.Context) { r.Process.Stop(ctx) }

// Restart kills the server if it runs, and starts it again: empty, on the same
// address. No other goroutine may use the server meanwhile.
func (r *Redis) Restart(ctx context.Context) error {
	r.Kill()
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("start %s again: %w", r.Name, err)
	}
	return nil
}

func (r *Redis) start(ctx context.Context) (err error) {
	p, err := startProcess(exec.Command(r.path, r.args...))
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

// awaitVersion returns the server's version once it answers.
func (r *Redis) awaitVersion(ctx context.Context) (string, error) {
	client := r.client()
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, redisStartTime)
	defer cancel()
	for {
		info, err := client.Info(ctx, "server").Result()
		if err == nil {
			return lastMatch(versionLine, info), nil
		}
		select {
		case <-r.Exited():
			return "", errEndedAtOnce
		case <-ctx.Done():
			return "", fmt.Errorf("it does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lastMatch finds Valkey's own version behind the one of Redis that it is
// compatible with.
func lastMatch(re *regexp.Regexp, text string) string {
	all := re.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

// Servers get ports below Linux' default range for outgoing connections, one of which
// could take the port of a server that is about to start, or to start again.
const firstPort, portCount = 10_000, 20_000

// freePort returns a port that nobody listens on.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port found from %d to %d", firstPort, firstPort+portCount-1)
}
