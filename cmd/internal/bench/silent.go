package bench

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

const (
	// idleFactor is how many durations of a point an idle cluster is watched:
	// refreshes are rare.
	idleFactor = 2
	// settling is what nodes get to give back the memory of a storm of connects.
	settling = 1500 * time.Millisecond
)

// idle measures connections that do nothing: what they occupy, and what keeping
// their leases costs Redis.
func (x *point) idle(ctx context.Context) error {
	watched := time.Duration(idleFactor * x.Seconds * float64(time.Second))
	x.Seconds = watched.Seconds()
	pause(ctx, settling)
	empty, err := x.rest(ctx, watched/2)
	if err != nil {
		return err
	}
	before, known := x.site.gauge.memory()
	if _, err := x.fleet.connectAll(ctx, dialers); err != nil {
		return err
	}
	pause(ctx, settling)
	if after, ok := x.site.gauge.memory(); ok && known {
		x.Figures[report.BytesPerConnection] = math.Max(0, float64(after-before)) / float64(x.Clients)
	}
	full, err := x.rest(ctx, watched)
	if err != nil {
		return err
	}
	x.refreshes(empty, full)
	return context.Cause(ctx)
}

// refreshes puts into figures what the leases of all clients add to a cluster that
// rests.
func (x *point) refreshes(empty, full resting) {
	n := float64(x.Clients)
	if empty.hasCPU && full.hasCPU {
		x.Figures[report.RefreshRedisCPU] = math.Max(0, full.cpu-empty.cpu) / n
	}
	x.Figures[report.RefreshRedisBytesIn] = math.Max(0, full.in-empty.in) / n
}

// resting is what a cluster costs its Redis that does nothing, for each second.
type resting struct {
	cpu    float64 // microseconds
	in     float64 // bytes
	hasCPU bool
}

func (x *point) rest(ctx context.Context, during time.Duration) (resting, error) {
	a, err := x.site.gauge.before(ctx)
	if err != nil {
		return resting{}, err
	}
	pause(ctx, during)
	b, err := x.site.gauge.after(ctx)
	if err != nil {
		return resting{}, err
	}
	seconds := b.at.Sub(a.at).Seconds()
	return resting{cpu: micros(b.redis-a.redis) / seconds, in: (b.server.in - a.server.in - a.askedIn) / seconds,
		hasCPU: a.hasCPU && b.hasCPU}, context.Cause(ctx)
}

// storm measures what happens when all clients connect at once.
func (x *point) storm(ctx context.Context) error {
	own, begun := ownCPU(), time.Now()
	took, err := x.fleet.connectAll(ctx, x.Clients)
	if err != nil {
		return err
	}
	lasted := time.Since(begun)
	x.Seconds = lasted.Seconds()
	slices.Sort(took)
	x.Figures[report.ConnectsPerSecond] = float64(x.Clients) / lasted.Seconds()
	x.Figures[report.ConnectP99] = micros(took[len(took)*99/100])
	if cpu := ownCPU() - own; cpu > 0 {
		x.Figures[report.GeneratorCPU] = float64(cpu) / float64(lasted)
	}
	return nil
}
