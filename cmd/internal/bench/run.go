package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/report"
)

// Progress hears how a run goes. Its methods are called one at a time.
type Progress interface {
	// Begin is told before each point which it is, from 1, of how many.
	Begin(number, of int, p *report.Point)
	// Rate is told now and then how many messages a second are delivered.
	Rate(perSecond float64)
	// Measured is given each point when it is whole. Its error ends the run.
	Measured(p *report.Point) error
}

// ErrFaults says that a run is whole, and that messages were not delivered as they
// should.
var ErrFaults = errors.New("messages were lost or delivered wrongly")

// spareThreads are processors beyond the machine's own for Go's scheduler, so that
// the goroutine that paces never waits for one.
const spareThreads = 2

// Run measures all points. What was measured is in the run that it returns, also
// if there is an error: ErrFaults, the end of ctx, or why the run is broken.
func Run(ctx context.Context, o Options, progress Progress) (*report.Run, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	begun := time.Now()
	t, err := openTarget(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	processors := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(processors + spareThreads)
	defer runtime.GOMAXPROCS(processors)
	run := &report.Run{
		Started: begun, Command: o.Command, Machine: machine(), Target: t.about(),
		Versions: map[string]string{"beeline": o.Version, "go": runtime.Version()},
	}
	if v := t.redisVersion(); v != "" {
		run.Versions["redis"] = v
	}
	r := &runner{target: t, progress: progress}
	err = r.all(ctx, run, o.schedule())
	run.Took = time.Since(begun)
	switch {
	case err != nil && ctx.Err() != nil:
		run.Broken = "it was interrupted"
		err = ctx.Err()
	case err != nil:
		run.Broken = err.Error()
	case faulty(run):
		err = ErrFaults
	}
	return run, err
}

func openTarget(ctx context.Context, o *Options) (target, error) {
	if len(o.URLs) > 0 {
		return newRunning(ctx, o)
	}
	return newPrivate(ctx, o.Binary)
}

func faulty(run *report.Run) bool {
	for i := range run.Points {
		if len(run.Points[i].Faults) > 0 {
			return true
		}
	}
	return false
}

type runner struct {
	target   target
	progress Progress
}

func (r *runner) all(ctx context.Context, run *report.Run, points []report.Point) error {
	for i := range points {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p := &points[i]
		r.progress.Begin(i+1, len(points), p)
		if err := r.measure(ctx, p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err = r.target.explain(err)
			return fmt.Errorf("%s, %s, %d nodes, %d clients: %w", p.Workload, p.Arm, p.Nodes, p.Clients, err)
		}
		run.Points = append(run.Points, *p)
		if err := r.progress.Measured(p); err != nil {
			return err
		}
	}
	return nil
}

// rateTick is how often progress hears of the rate.
const rateTick = 500 * time.Millisecond

// watch tells progress of the fleet's rate until the function that it returns is
// called.
func (r *runner) watch(f *fleet) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(rateTick)
		defer ticker.Stop()
		for last := int64(0); ; {
			select {
			case <-ticker.C:
				now := f.checker.received.Load()
				r.progress.Rate(float64(now-last) / rateTick.Seconds())
				last = now
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}
