package node

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/beeline-ws/beeline/router"
)

const (
	// reportEvery is how often the reporter looks.
	reportEvery = 250 * time.Millisecond
	// slowEvery is the least time between two lines about slow clients.
	slowEvery = 10 * time.Second
)

// reporter tells the log what is nobody's event: that the node is not ready, and why,
// that it is again, and that clients read too slowly. Its goroutine looks a few times a
// second, so that what happens thousands of times is one line.
type reporter struct {
	node *Node

	// Owned by the goroutine.
	wasReady     bool                  // once
	unready      time.Time             // since when the node is not ready; zero: it is
	reported     map[router.Cause]bool // of this time
	slowLoggedAt time.Time             // when slow clients were told last

	// Shared.
	slowClosed  atomic.Int64           // sessions, since slow clients were told
	slowMissed  atomic.Int64           // messages
	slowExample atomic.Pointer[string] // one of the clients
}

// startReporter starts the goroutine.
func (n *Node) startReporter() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.reporter.run(ctx) })
	n.cleanups.add("reporter", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
}

func (r *reporter) run(ctx context.Context) {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			r.logReadiness(now)
			r.logSlow(now)
		case <-ctx.Done():
			return
		}
	}
}

// logReadiness logs when the node stops being ready, each cause that comes to it, and
// when it is ready again. A node that has just started may take a while, which is no
// trouble; one that drains has lines of its own.
func (r *reporter) logReadiness(now time.Time) {
	if r.node.draining.Load() || !r.node.ready.Load() {
		return
	}
	found := r.node.unready()
	if len(found) == 0 {
		switch {
		case !r.unready.IsZero():
			r.node.log.Info("node is ready", "after", now.Sub(r.unready).Round(time.Millisecond))
		case !r.wasReady:
			r.node.log.Info("node is ready")
		}
		r.wasReady, r.unready, r.reported = true, time.Time{}, nil
		return
	}
	if r.unready.IsZero() {
		r.unready, r.reported = now, make(map[router.Cause]bool)
	}
	fresh := false
	var causes, words []string
	for _, h := range found {
		fresh = fresh || !r.reported[h.Cause]
		r.reported[h.Cause] = true
		causes, words = append(causes, string(h.Cause)), append(words, h.Err.Error())
	}
	level := slog.LevelWarn
	if !r.wasReady {
		level = slog.LevelInfo
	}
	if fresh {
		r.node.log.Log(context.Background(), level, "node is not ready", "causes", strings.Join(causes, ","), "why", strings.Join(words, "; "))
	}
}

// logSlow logs how many sessions were closed and messages were dropped because their
// clients read too slowly, and names one of them.
func (r *reporter) logSlow(now time.Time) {
	example := r.slowExample.Load()
	if example == nil || !r.slowLoggedAt.IsZero() && now.Sub(r.slowLoggedAt) < slowEvery {
		return
	}
	r.slowLoggedAt = now
	r.slowExample.Store(nil)
	r.node.log.Warn("clients read too slowly",
		"closed", r.slowClosed.Swap(0), "missed", r.slowMissed.Swap(0), "example", *example)
}

// slow notes that a client reads too slowly: whether its session is closed, and how
// many messages it missed. It takes no lock that a line of the log is written under.
func (r *reporter) slow(client string, closed bool, missed uint32) {
	if closed {
		r.slowClosed.Add(1)
	}
	r.slowMissed.Add(int64(missed))
	if r.slowExample.Load() == nil {
		r.slowExample.CompareAndSwap(nil, &client)
	}
}
