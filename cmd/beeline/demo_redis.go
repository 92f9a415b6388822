package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/beeline-ws/beeline/registry"
)

const (
	redisStartTime = 10 * time.Second
	redisStopTime  = 5 * time.Second
	// embeddedTick is how often the embedded Redis' TTLs advance.
	embeddedTick = 100 * time.Millisecond
)

// demoRedis is a Redis of the demo's own.
type demoRedis struct {
	url   string
	about string // what it is, for people
	stop  func()
}

// startDemoRedis starts an installed server, or else the embedded one.
func startDemoRedis(ctx context.Context, embedded bool) (*demoRedis, error) {
	if embedded {
		return startEmbedded("as asked for")
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return startServer(ctx, name, path)
		}
	}
	return startEmbedded("no redis-server is installed")
}

// startEmbedded starts miniredis, whose TTLs advance only when told to.
func startEmbedded(why string) (*demoRedis, error) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	ended := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { advance(m, ended) })
	return &demoRedis{
		url:   "redis://" + m.Addr(),
		about: fmt.Sprintf("an embedded Redis at %s (%s)", m.Addr(), why),
		stop: sync.OnceFunc(func() {
			close(ended)
			ticking.Wait()
			m.Close()
		}),
	}, nil
}

func advance(m *miniredis.Miniredis, ended <-chan struct{}) {
	ticker := time.NewTicker(embeddedTick)
	defer ticker.Stop()
	for last := time.Now(); ; {
		select {
		case <-ended:
			return
		case now := <-ticker.C:
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}

// startServer starts a server without persistence on a free port of this host.
func startServer(ctx context.Context, name, path string) (*demoRedis, error) {
	dir, err := os.MkdirTemp("", "beeline-demo-")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.Command(path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1",
		"--save", "", "--appendonly", "no", "--dir", dir)
	ownProcessGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), os.RemoveAll(dir))
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is told to end, however it takes that
		close(exited)
	}()
	stop := sync.OnceFunc(func() {
		endProcess(cmd.Process, exited)
		_ = os.RemoveAll(dir) // temporary and empty
	})
	url := fmt.Sprintf("redis://127.0.0.1:%d", port)
	version, err := awaitServer(ctx, url, exited)
	if err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	about := fmt.Sprintf("%s %s at 127.0.0.1:%d (private, keeps nothing)", name, version, port)
	return &demoRedis{url: url, about: about, stop: stop}, nil
}

// endProcess asks a process to end, and insists after a while.
func endProcess(p *os.Process, exited <-chan struct{}) {
	_ = p.Signal(os.Interrupt) // it may be gone
	select {
	case <-exited:
	case <-time.After(redisStopTime):
		_ = p.Kill()
		<-exited
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

var versionLine = regexp.MustCompile(`(?m)^(?:valkey|redis)_version:(\S+)`)

// awaitServer returns the server's version once it answers.
func awaitServer(ctx context.Context, url string, exited <-chan struct{}) (string, error) {
	client, err := registry.Connect(url)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, redisStartTime)
	defer cancel()
	for {
		info, err := client.Info(ctx, "server").Result()
		if err == nil {
			return lastMatch(versionLine, info), nil
		}
		select {
		case <-exited:
			return "", errors.New("it ended at once")
		case <-ctx.Done():
			return "", fmt.Errorf("it does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
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
