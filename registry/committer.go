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

// committer sends claims and releases in groups: one pipeline is under way at a
// time, and what arrives meanwhile is the next group. So an operation is never
// overtaken by one that was queued after it: a release that follows a claim
// finds what the claim wrote.
type committer struct {
	r    *Registry
	wake chan struct{}

	mu       sync.Mutex
	stopped  bool
	claims   []*claim
	releases []release
	notUntil time.Time // releases that failed are not sent before
}

type release struct {
	address, token string
	// doubtful says that a claim of the entry may still be on its way: its
	// answer never came. Once Redis has answered, the release is repeated.
	doubtful bool
}

func newCommitter(r *Registry) *committer {
	return &committer{r: r, wake: make(chan struct{}, 1)}
}

// claim queues a claim of l. At maxWaitingClaims it is refused.
func (c *committer) claim(ctx context.Context, l *Lease, rule Duplicates, kind string) (*claim, error) {
	cl := &claim{ctx: ctx, address: l.address, token: l.Token(), rule: rule, kind: kind, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return nil, errStopped
	case len(c.claims) >= maxWaitingClaims:
		return nil, errBusy
	}
	c.claims = append(c.claims, cl)
	c.nudge()
	return cl, nil
}

// release queues the removal of an entry. At maxWaitingReleases, and after the
// stop, it is dropped: the entry ends with its TTL.
func (c *committer) release(rel release) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || len(c.releases) >= maxWaitingReleases {
		c.r.metrics.OperationErrors.WithLabelValues("release").Inc()
		return
	}
	c.releases = append(c.releases, rel)
	c.nudge()
}

func (c *committer) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// loop commits groups until ctx ends, or until nothing is left to commit after
// stop.
func (c *committer) loop(ctx context.Context) {
	for ctx.Err() == nil {
		claims, releases, stopped := c.take()
		if len(claims)+len(releases) > 0 {
			c.commit(ctx, claims, releases)
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
func (c *committer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.nudge()
}

// abort answers the claims that were not sent.
func (c *committer) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, cl := range c.claims {
		cl.err = errStopped
		close(cl.done)
	}
	c.r.metrics.OperationErrors.WithLabelValues("release").Add(float64(len(c.releases)))
	c.claims, c.releases = nil, nil
}

// take returns the next group. Claims that nobody waits for any more are
// answered instead.
func (c *committer) take() (claims []*claim, releases []release, stopped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var n int
	for ; n < len(c.claims) && len(claims) < maxGroup; n++ {
		cl := c.claims[n]
		if err := cl.ctx.Err(); err != nil {
			cl.err = err
			close(cl.done)
			continue
		}
		claims = append(claims, cl)
	}
	c.claims = dropFirst(c.claims, n)
	if n = min(maxGroup, len(c.releases)); n > 0 && !time.Now().Before(c.notUntil) {
		releases = append(releases, c.releases[:n]...)
		c.releases = dropFirst(c.releases, n)
	}
	return claims, releases, c.stopped && len(c.claims) == 0 && len(c.releases) == 0
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
func (c *committer) commit(ctx context.Context, claims []*claim, releases []release) {
	ctx, cancel := context.WithTimeout(ctx, c.r.timing.operation())
	defer cancel()

	calls := make([]*call, 0, len(claims)+len(releases)+1)
	for _, cl := range claims {
		calls = append(calls, c.r.claimCall(cl))
	}
	epochs, err := c.epochCalls(ctx, claims)
	if err != nil {
		c.r.metrics.OperationErrors.WithLabelValues("claim").Inc()
		answer(claims, err)
		claims, calls, epochs = nil, nil, nil
	}
	for _, e := range epochs {
		calls = append(calls, e)
	}
	for _, rel := range releases {
		calls = append(calls, newCall(releaseScript,
			[]string{c.r.keys.Address(rel.address)}, c.r.opts.NodeID, rel.token))
	}

	began := time.Now()
	_ = c.r.run(ctx, calls, nil)
	c.finishClaims(claims, calls[:len(claims)], epochs, began)
	c.finishReleases(releases, calls[len(calls)-len(releases):], began)
}

// epochCalls returns a call for each master that the claims touch, by tag, and
// notes the tag in each claim.
func (c *committer) epochCalls(ctx context.Context, claims []*claim) (map[string]*call, error) {
	keys := make([]string, len(claims))
	for i, cl := range claims {
		keys[i] = c.r.keys.Address(cl.address)
	}
	calls, tags, err := c.r.epochCalls(ctx, keys)
	for i, tag := range tags {
		claims[i].master = tag
	}
	return calls, err
}

func (c *committer) finishClaims(claims []*claim, calls []*call, epochs map[string]*call, began time.Time) {
	if len(claims) == 0 {
		return
	}
	var failed error
	for i, cl := range claims {
		epoch, err := epochs[cl.master].cmd.Text()
		if err == nil {
			cl.epoch = epoch
			err = cl.read(calls[i].cmd)
		}
		if err != nil {
			cl.err, failed = err, err
		}
	}
	if err := c.r.seeAll(epochs); err != nil {
		failed = err
	}
	c.r.observe("claim", began, failed)
	for _, cl := range claims {
		close(cl.done)
	}
}

// finishReleases puts those that failed back, to be sent again a little later.
func (c *committer) finishReleases(releases []release, calls []*call, began time.Time) {
	if len(releases) == 0 {
		return
	}
	var failed error
	var again []release
	for i, rel := range releases {
		if err := calls[i].cmd.Err(); err != nil {
			failed = err
			again = append(again, rel)
		} else if rel.doubtful {
			rel.doubtful = false
			time.AfterFunc(releaseRetry, func() { c.release(rel) })
		}
	}
	c.r.observe("release", began, failed)
	if failed == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	room := max(0, min(len(again), maxWaitingReleases-len(c.releases)))
	c.releases = append(c.releases, again[:room]...)
	c.notUntil = time.Now().Add(releaseRetry)
	time.AfterFunc(releaseRetry, c.nudge)
}
