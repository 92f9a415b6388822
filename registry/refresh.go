package registry

import (
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// refreshAll refreshes leases in batches of a bounded size, with a pause between
// them that depends on how long the last one took; nil is none.
func (f *refresher) refreshAll(ctx context.Context, leases []*Lease, pause func(time.Duration) time.Duration) error {
	var failed error
	for len(leases) > 0 {
		n, began := min(len(leases), refreshBatch), time.Now()
		if err := f.refresh(ctx, leases[:n]); err != nil {
			failed = err
		}
		if leases = leases[n:]; len(leases) > 0 && pause != nil {
			select {
			case <-time.After(pause(time.Since(began))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return failed
}

// refresh extends leases in one pipeline and deals with those that are lost.
func (f *refresher) refresh(ctx context.Context, leases []*Lease) error {
	calls, chunks := f.r.refreshCalls(leases)
	began := time.Now()
	timed, cancel := context.WithTimeout(ctx, f.r.roundTrip)
	defer cancel()
	_ = f.r.redis.Run(timed, calls)

	var failed error
	var missing, taken []*Lease
	for i, c := range calls {
		gone, others, err := parseRefreshed(chunks[i], c.Cmd)
		if err != nil {
			failed = err
			continue
		}
		missing, taken = append(missing, gone...), append(taken, others...)
		f.r.metrics.RefreshedLeases.Add(float64(len(chunks[i]) - len(gone) - len(others)))
	}
	for _, l := range taken {
		f.evict(l)
	}
	f.r.metrics.RefreshBatches.Inc()
	f.r.observe("refresh", began, failed)
	if err := f.reclaim(ctx, missing); err != nil {
		failed = err
	}
	return failed
}

// parseRefreshed returns which of leases were not extended, as refresh.lua answered: those
// whose entries are missing, and those that another claim took.
func parseRefreshed(leases []*Lease, cmd *redis.Cmd) (missing, taken []*Lease, err error) {
	pairs, err := cmd.Int64Slice()
	if err != nil {
		return nil, nil, err
	}
	for pair := range slices.Chunk(pairs, 2) {
		switch i := pair[0]; {
		case len(pair) < 2 || i < 1 || int(i) > len(leases):
			return nil, nil, errMalformed
		case pair[1] == 0:
			missing = append(missing, leases[i-1])
		default:
			taken = append(taken, leases[i-1])
		}
	}
	return missing, taken, nil
}

// refreshCalls returns the calls that extend leases, and which leases each
// extends.
func (r *Registry) refreshCalls(leases []*Lease) (list []*redisconn.Call, chunks [][]*Lease) {
	var c calls
	for chunk := range slices.Chunk(leases, r.keysOfACall()) {
		c.refresh(r, chunk)
		chunks = append(chunks, chunk)
	}
	return c.list, chunks
}

// refresh adds a call that extends leases.
func (c *calls) refresh(r *Registry, leases []*Lease) {
	c.begin(refreshScript, len(leases), 2+len(leases))
	for _, l := range leases {
		c.key(r.keys, l.address)
	}
	c.value(&r.opts.NodeID)
	c.value(r.timing.LeaseTTL().Milliseconds())
	for _, l := range leases {
		c.token(l.number)
	}
}

// evict stops refreshing a lease that another session took.
func (f *refresher) evict(l *Lease) {
	f.r.mu.Lock()
	held := f.r.forgetLocked(l)
	f.r.mu.Unlock()
	if held {
		f.r.metrics.LeasesLost.WithLabelValues("taken").Inc()
		f.r.events.OnEvicted(l)
	}
}
