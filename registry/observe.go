package registry

import (
	"context"
	"errors"
	"time"
)

// operations is the closed set of the metrics' label op.
var operations = []string{"claim", "release", "refresh", "lookup", "prune", "beat", "epoch", "nodes"}

// preregister makes every series visible from the start, at zero.
func (r *Registry) preregister() {
	for _, op := range operations {
		r.metrics.OperationSeconds.WithLabelValues(op)
		r.metrics.OperationErrors.WithLabelValues(op)
	}
	for _, reason := range []string{"missing", "taken"} {
		r.metrics.LeasesLost.WithLabelValues(reason)
	}
}

// observe counts one round trip. One that its caller gave up is no failure.
func (r *Registry) observe(op string, began time.Time, err error) {
	r.metrics.OperationSeconds.WithLabelValues(op).Observe(time.Since(began).Seconds())
	if err != nil && !errors.Is(err, context.Canceled) {
		r.metrics.OperationErrors.WithLabelValues(op).Inc()
	}
}

// MissBeat counts a heartbeat that failed before Beat could be called, because the node
// does not hear its private channel.
func (r *Registry) MissBeat() { r.metrics.OperationErrors.WithLabelValues("beat").Inc() }

// timed observes f.
func (r *Registry) timed(op string, f func() error) error {
	began := time.Now()
	err := f()
	r.observe(op, began, err)
	return err
}
