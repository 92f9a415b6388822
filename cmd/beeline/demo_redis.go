package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

const (
	redisStopTime = 5 * time.Second
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
	server, err := startServer(ctx)
	if !errors.Is(err, redisproc.ErrNoRedis) {
		return server, err
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

// startServer starts a server of this demo's own.
func startServer(ctx context.Context) (*demoRedis, error) {
	dir, err := os.MkdirTemp("", "beeline-demo-")
	if err != nil {
		return nil, err
	}
	server, err := redisproc.Start(ctx, dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &demoRedis{
		url:   server.URL,
		about: fmt.Sprintf("%s %s at %s (private, keeps nothing)", server.Name, server.Version, server.Addr),
		stop: sync.OnceFunc(func() {
			ctx, cancel := context.WithTimeout(context.Background(), redisStopTime)
			defer cancel()
			server.Stop(ctx)
			_ = os.RemoveAll(dir) // temporary and empty
		}),
	}, nil
}
