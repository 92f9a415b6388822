package registry

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	maxGroup           = 512     // claims, and as many releases, that share a pipeline
	maxWaitingClaims   = 1 << 16 // what more come are refused
	maxWaitingReleases = 1 << 16 // what more come are left to the lease's TTL
	releaseRetry       = 250 * time.Millisecond
)

var (
	errStopped   = errors.New("registry is stopped")
	errBusy      = errors.New("too many claims are waiting")
	errNoMaster  = errors.New("no Redis master is known for the key")
	errMalformed = errors.New("script answered in an unknown form")
)

// claimBatcher sends claims and releases in groups: one pipeline is under way at a
// time, and what arrives meanwhile is the next group. So a release that follows a
// claim finds what the claim wrote, unless more claims waited than a group takes; then
// it is made again (refresher.conclude).
type claimBatcher struct {
	r    *Registry
	wake chan struct{}

	mu       sync.Mutex
	stopped  bool
	claims   []*claim
	releases []release
	notUntil time.Time // releases that failed are not sent before

	group group // owned by the loop
}

type release struct {
	address string
	number  uint64 // the token
	// doubtful says that a claim of the entry may still be on its way: its
	// answer never came. Once Redis has answered, the release is repeated.
	doubtful bool
}

func newClaimBatcher(r *Registry) *claimBatcher {
	return &claimBatcher{r: r, wake: make(chan struct{}, 1), group: group{epochs: make(map[string]*epochRead)}}
}

// claim queues a claim. At maxWaitingClaims it is refused.
func (c *claimBatcher) claim(cl *claim) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return errStopped
	case len(c.claims) >= maxWaitingClaims:
		return errBusy
	}
	c.claims = append(c.claims, cl)
	c.signal()
	return nil
}

// release queues the removal of an entry. At maxWaitingReleases, and after the
// stop, it is dropped: the entry ends with its TTL.
func (c *claimBatcher) release(rel release) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || len(c.releases) >= maxWaitingReleases {
		c.r.metrics.OperationErrors.WithLabelValues("release").Inc()
		return
	}
	c.releases = append(c.releases, rel)
	c.signal()
}

func (c *claimBatcher) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// loop commits groups until ctx ends, or until nothing is left to commit after
// stop.
func (c *claimBatcher) loop(ctx context.Context) {
	for ctx.Err() == nil {
		g, expired, stopped := c.take()
		c.answer(expired, context.DeadlineExceeded)
		if len(g.claims)+len(g.releases) > 0 {
			c.commit(ctx, g)
			continue
		}
		if stopped {
			break
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		}
	}
	c.abort()
}

// stop refuses what comes and lets the loop end when nothing waits.
func (c *claimBatcher) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.signal()
}

// abort answers the claims that were not sent.
func (c *claimBatcher) abort() {
	c.mu.Lock()
	c.stopped = true
	claims := c.claims
	c.r.metrics.OperationErrors.WithLabelValues("release").Add(float64(len(c.releases)))
	c.claims, c.releases = nil, nil
	c.mu.Unlock()
	c.answer(claims, errStopped)
}

// take returns the next group, and the claims whose deadline passed while they
// waited.
func (c *claimBatcher) take() (g *group, expired []*claim, stopped bool) {
	g = &c.group
	g.reset()
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int
	for ; n < len(c.claims) && len(g.claims) < maxGroup; n++ {
		cl := c.claims[n]
		if !cl.deadline.IsZero() && now.After(cl.deadline) {
			expired = append(expired, cl)
			continue
		}
		if cl.wrote && cl.rule == Replace {
			// The claim was made before, and another claim may have replaced it. Its
			// node has told this one so, or will: that must not end this run, so it has a
			// later token.
			cl.number = c.r.tokens.Add(1)
			cl.lease.number = cl.number
		}
		g.claims = append(g.claims, cl)
	}
	c.claims = dropFirst(c.claims, n)
	if n = min(maxGroup, len(c.releases)); n > 0 && !now.Before(c.notUntil) {
		g.releases = append(g.releases, c.releases[:n]...)
		c.releases = dropFirst(c.releases, n)
	}
	return g, expired, c.stopped && len(c.claims) == 0 && len(c.releases) == 0
}

// dropFirst removes n elements and does not keep what they point to alive.
func dropFirst[T any](queue []T, n int) []T {
	if n == len(queue) {
		clear(queue)
		return queue[:0]
	}
	clear(queue[:n])
	return queue[n:]
}

// commit runs one group: the claims, then the epochs of the masters they touch,
// then the releases. A claim counts only together with the epoch that was read
// behind it.
func (c *claimBatcher) commit(ctx context.Context, g *group) {
	timed, cancel := context.WithTimeout(ctx, c.r.roundTrip)
	defer cancel()
	if err := g.write(timed, c.r); err != nil {
		c.r.metrics.OperationErrors.WithLabelValues("claim").Inc()
		c.answer(g.claims, err)
		g.claims = g.claims[:0]
	}
	began := time.Now()
	_ = c.r.redis.Run(timed, g.calls.list)
	c.finishClaims(timed, g, began)
	c.finishReleases(g, began)
}

func (c *claimBatcher) finishClaims(ctx context.Context, g *group, began time.Time) {
	if len(g.claims) == 0 {
		return
	}
	g.readEpochs(ctx, c.r)
	failed := g.readClaims(c.r)
	c.r.noteTrouble(failed)
	c.r.observe("claim", began, failed)
	for _, cl := range g.claims {
		cl.answered(c.r, cl)
	}
}

// answer ends claims that were not sent.
func (c *claimBatcher) answer(claims []*claim, err error) {
	for _, cl := range claims {
		cl.err = err
		cl.answered(c.r, cl)
	}
}

// finishReleases puts those that failed back, to be sent again a little later.
func (c *claimBatcher) finishReleases(g *group, began time.Time) {
	if len(g.releases) == 0 {
		return
	}
	again, failed := g.readReleases(func(rel release) {
		rel.doubtful = false
		time.AfterFunc(releaseRetry, func() { c.release(rel) })
	})
	c.r.observe("release", began, failed)
	if failed == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	room := max(0, min(len(again), maxWaitingReleases-len(c.releases)))
	c.releases = append(c.releases, again[:room]...)
	c.notUntil = time.Now().Add(releaseRetry)
	time.AfterFunc(releaseRetry, c.signal)
}
