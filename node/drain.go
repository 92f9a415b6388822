package node

import (
	"context"
	"time"
)

// announceDrain is the first step of Stop: the other nodes learn that this one is
// going, and do not take a refused connection for its death.
func (n *Node) announceDrain(ctx context.Context) error {
	n.draining.Store(true)
	n.counts.Draining.Set(1)
	n.log.Info("node drains: it welcomes nobody, and closes its sessions", "sessions", n.table.size(), "over", n.drainPeriod(ctx).Round(time.Millisecond))
	return n.router.SetDraining(ctx)
}

// drain closes all sessions, spread evenly over DrainPeriod, so that their
// clients do not all connect elsewhere at the same moment. Each gets its bye
// when its turn comes, and is served until then. If ctx allows less time, the
// period is shorter. Nobody is accepted any more when it is called.
func (n *Node) drain(ctx context.Context) error {
	n.closeSpread(ctx, n.table.snapshot(nil), n.drainPeriod(ctx))
	select {
	case <-n.table.emptied():
		n.log.Info("node has drained")
	case <-ctx.Done():
		n.log.Warn("node did not drain in time", "sessions", n.table.size())
	}
	return wait(ctx, &n.leaving)
}

// drainPeriod leaves a quarter of ctx's time to the closing handshakes and the
// router.
func (n *Node) drainPeriod(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return n.opts.DrainPeriod
	}
	return min(n.opts.DrainPeriod, time.Until(deadline)*3/4)
}

func (n *Node) closeSpread(ctx context.Context, sessions []*session, period time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	start := time.Now()
	for i, s := range sessions {
		turn := start.Add(period / time.Duration(len(sessions)) * time.Duration(i))
		if left := time.Until(turn); left > time.Millisecond {
			timer.Reset(left)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		s.close(closedDraining)
	}
}

// wait waits for what runs, as long as ctx allows.
func wait(ctx context.Context, running interface{ Wait() }) error {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
