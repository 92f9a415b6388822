package node

import (
	"context"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// startLiveness starts the sweep: the one goroutine that watches all sessions,
// so that none needs a timer. It is exact to a quarter of the shorter interval.
func (n *Node) startLiveness() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { n.sweep(ctx, min(n.opts.PingInterval, n.opts.PongTimeout)/4) })
	n.cleanups.add("liveness", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
}

func (n *Node) sweep(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(max(every, time.Millisecond))
	defer ticker.Stop()
	var sessions []*session
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		sessions = n.table.snapshot(sessions[:0])
		now := n.clock()
		for _, s := range sessions {
			s.prove(now)
		}
		clear(sessions)
	}
}

// prove pings a session that was silent for PingInterval and closes it if it
// stays silent for PongTimeout more. Every byte counts as life. A session that
// the node itself does not read is not judged.
func (s *session) prove(now time.Duration) {
	heard := time.Duration(s.heard.Load())
	switch {
	case s.closing.Load():
	case s.inFlight.paused.Load() && s.inFlight.above(maxInFlight/2, maxInFlightBytes/2):
		s.heard.Store(int64(now))
	case now-heard < s.node.opts.PingInterval:
	case s.pinged <= heard:
		s.pinged = now
		s.reply(ws.OpPing, nil)
	case now-s.pinged >= s.node.opts.PongTimeout:
		s.close(closedPingTimeout)
	}
}
