package node

import (
	"context"
	"sync"
	"time"
)

// The sweep passes all sessions in as many steps, so that those that connected
// together are not pinged together. It also watches the deadlines of closing
// sessions and of the engine, which want steps of at most maxSweepStep.
const (
	sweepSteps   = 64
	maxSweepStep = 100 * time.Millisecond
)

// startLiveness starts the sweep: the one goroutine that watches all sessions,
// so that none needs a timer. A pass takes a quarter of the shorter interval, and
// it is exact to that.
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

func (n *Node) sweep(ctx context.Context, pass time.Duration) {
	step := min(max(pass/sweepSteps, time.Millisecond), maxSweepStep)
	steps := max(int(pass/step), 1)
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	var part []*session
	var trimmer trimmer
	for i := 0; ; i = (i + 1) % steps {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now, wall := n.now(), time.Now()
		part = n.table.part(part[:0], i, steps)
		for _, s := range part {
			s.prove(now, wall)
		}
		clear(part)
		n.graces.over(now)
		n.engine.tick()
		trimmer.look(now, n.table.size())
	}
}

// prove pings a session that was silent for PingInterval and closes it if it
// stays silent for PongTimeout more, or whose identity has ended. Every byte counts as life. A session that
// the node itself does not read is not judged.
func (s *session) prove(now moment, wall time.Time) {
	heard := moment(s.heard.Load())
	silence := now.since(heard)
	switch {
	case s.isClosing():
	case s.hasExpired(wall):
		s.close(closedExpired)
	case s.inFlight.paused() && s.inFlight.above(maxInFlight/2, maxInFlightBytes/2):
		s.heard.Store(uint32(now))
		s.pinged = now
	case silence < s.node.opts.PingInterval:
		s.pinged = heard // moments must not grow old
	case s.pinged.since(heard) == 0: // not pinged in this silence
		s.pinged = now
		s.protocol.ping(s)
	case now.since(s.pinged) >= s.node.opts.PongTimeout:
		s.close(closedPingTimeout)
	}
}
