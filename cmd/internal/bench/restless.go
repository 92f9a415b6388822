package bench

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

const (
	// moves is how many clients move each second while messages fly.
	moves = 50
	// killAfter is the share of the duration after which a node is killed.
	killAfter = 0.3
)

// disturb begins what a workload does to the cluster while messages fly. What it
// returns ends that.
func (x *point) disturb(whole context.Context, during time.Duration) (end func()) {
	ctx, cancel := context.WithCancel(whole)
	var running sync.WaitGroup
	switch x.Workload {
	case report.Churn:
		running.Go(func() { x.churn(ctx, whole) })
	case report.Kill:
		running.Go(func() { x.kill(ctx, time.Duration(killAfter*float64(during))) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// churn moves clients to other nodes until ctx ends: each connects there, and leaves
// where it was. A move that has begun goes on as long as the whole point does.
func (x *point) churn(ctx, whole context.Context) {
	f := x.fleet
	for ctx.Err() == nil {
		pause(ctx, time.Second/moves)
		client := rand.Uint32N(uint32(len(f.sessions)))
		old := f.sessions[client].Load()
		if old == nil {
			continue
		}
		to := (old.node + 1 + rand.IntN(len(f.urls)-1)) % len(f.urls)
		if err := f.connect(whole, client, to); err != nil {
			f.fail(err)
			return
		}
		old.close()
	}
}

// kill kills the last node as a power cut would.
func (x *point) kill(ctx context.Context, after time.Duration) {
	pause(ctx, after)
	if ctx.Err() != nil {
		return
	}
	f := x.fleet
	last := len(x.site.nodes) - 1
	for i := range f.sessions {
		if s := f.sessions[i].Load(); s != nil && s.node == last {
			s.ending.Store(true)
			x.gone[s.client] = true
		}
	}
	n := x.site.nodes[last]
	x.site.killed.Store(n)
	x.killed = f.now()
	n.Kill()
}

// recovered finds the first message that was answered with offline for a client of
// the killed node.
func (x *point) recovered() {
	first := int64(-1)
	x.fleet.checker.messages(x.first, x.fleet.checker.count(), func(_ uint32, r *record, bits uint32) {
		if at := r.answered.Load(); bits&saidOffline != 0 && x.gone[r.to] && at > x.killed && (first < 0 || at < first) {
			first = at
		}
	})
	if first >= 0 {
		x.Figures[report.RecoverySeconds] = time.Duration(first - x.killed).Seconds()
	}
}
