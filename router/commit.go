package router

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
)

// commitTimeout bounds one round trip of the committer, maxLookups the lookups in it.
const (
	commitTimeout = 3 * time.Second
	maxLookups    = 1 << 10
)

// restFailed is how long the committer waits after a round trip that failed.
const retryFailed = 25 * time.Millisecond

// post is one PUBLISH, and who takes the number of its receivers.
type post struct {
	channel   string
	private   bool // a node's channel: sharded in a Cluster
	payload   []byte
	envelopes int
	batch     batch                            // of a link; else
	then      func(receivers int64, err error) // of a baseline, with mu held
}

// replied takes the reply, with mu held.
func (p *post) replied(r *Router, receivers int64, err error) {
	if p.then != nil {
		p.then(receivers, err)
		return
	}
	p.batch.link.published(r, &p.batch, receivers, err)
}

// commit is one round trip: what gathered while the last one was under way.
type commit struct {
	routes []*route
	posts  []post
}

// signalLookups wakes the committer. It never waits.
func (r *Router) signalLookups() { r.work.Set() }

// runCommitter sends the lookups that have gathered, and where there is no publisher
// what is to be published, one round trip at a time: so batches grow with the load,
// and an idle router sends at once.
func (r *Router) runLookups(ctx context.Context) {
	for r.work.Wait(ctx) == nil {
		r.mu.Lock()
		c := r.nextCommit()
		r.unlock()
		if len(c.routes)+len(c.posts) > 0 {
			r.roundTrip(ctx, c)
		}
	}
}

// nextCommit takes the routes to look up and, where there is no publisher, what is
// to be published.
func (r *Router) nextCommit() *commit {
	c := &commit{routes: r.lookups.take(maxLookups)}
	if r.lookups.len() > 0 {
		r.signalLookups()
	}
	for _, rt := range c.routes {
		rt.asked(r)
	}
	if r.pub == nil {
		r.gather(c.add)
	}
	return c
}

func (c *commit) add(p *post) {
	p.payload = bytes.Clone(p.payload)
	c.posts = append(c.posts, *p)
}

// hasPosts tells whether anything is to be published.
func (r *Router) hasPosts() bool {
	return len(r.outgoing) > 0 || len(r.posts) > 0 || r.cast != nil && r.cast.count > 0
}

// post says that there is something to publish: in a Cluster the committer does
// it, else whoever releases mu.
func (r *Router) post() {
	if r.pub == nil {
		r.signalLookups()
	}
}

// gather gives out the links' batches and the baselines' posts. Payloads are only
// lent.
func (r *Router) gather(publish func(*post)) {
	for i := range r.posts {
		r.signer.Sign(r.posts[i].channel, r.posts[i].payload)
		r.countPost(r.posts[i].envelopes, len(r.posts[i].payload))
		publish(&r.posts[i])
	}
	clear(r.posts)
	r.posts, r.posted = r.posts[:0], 0
	rest := r.outgoing[:0]
	for _, l := range r.outgoing {
		if r.pub != nil && len(r.pub.out) >= maxOut {
			rest = append(rest, l)
			continue
		}
		l.queued = false
		if l.judged || (!l.mayPublish() && (l.in.due.IsZero() || l.in.link == 0)) {
			continue
		}
		payload := r.scratch[:0]
		b := l.batch(r, &payload)
		r.scratch = payload
		r.signer.Sign(l.channel, payload)
		r.countPost(b.count, len(payload))
		publish(&post{channel: l.channel, private: true, payload: payload, envelopes: b.count, batch: b})
		if r.pub != nil && l.mayPublish() { // elsewhere the reply brings the rest
			l.queued = true
			rest = append(rest, l)
		}
	}
	r.outgoing = rest
	if cap(r.scratch) > maxScratch {
		r.scratch = nil
	}
	if r.cast != nil {
		if p, ok := r.cast.gather(); ok {
			r.signer.Sign(p.channel, p.payload)
			r.countPost(p.envelopes, len(p.payload))
			publish(&p)
		}
	}
}

// maxScratch is how much room for batches is kept, in bytes.
const maxScratch = 256 << 10

func (r *Router) countPost(envelopes, size int) {
	r.m.Publishes.Inc()
	r.m.PublishedBytes.Add(float64(size))
	if envelopes == 0 {
		r.m.Acknowledgements.Inc()
		return
	}
	r.m.BatchEnvelopes.Observe(float64(envelopes))
}

// roundTrip sends a commit and takes Redis' answers. Lookups go first: their
// answers are older than anything this commit publishes.
func (r *Router) roundTrip(ctx context.Context, c *commit) {
	ctx, cancel := r.runtime.WithTimeout(ctx, commitTimeout)
	defer cancel()
	began := r.now()
	pipe := r.opts.Redis.Pipeline()
	lookups := make([]registry.Lookup, len(c.routes))
	for i, rt := range c.routes {
		lookups[i] = r.reg.QueueLookup(pipe, rt.address)
	}
	replies := make([]*redis.IntCmd, len(c.posts))
	open := r.openPipe(ctx, pipe)
	for i := range c.posts {
		to := pipe
		if !c.posts[i].private {
			to = open
		}
		replies[i] = r.publish(ctx, to, &c.posts[i])
	}
	r.m.CommitCommands.Observe(float64(pipe.Len()))
	_, err := pipe.Exec(ctx)
	if open != pipe && open.Len() > 0 {
		_, err = open.Exec(ctx)
	}
	if len(lookups) > 0 {
		r.reg.ObserveLookups(began, err)
	}
	if err != nil { // each command has an error of its own, too
		r.log.Debug("round trip failed", "error", err)
	}

	r.reg.CheckLookups(ctx, lookups)
	dead, crowds := r.revive(ctx, lookups), r.crowds(ctx, lookups)
	r.mu.Lock()
	for i := range c.posts {
		n, err := replies[i].Result()
		c.posts[i].replied(r, n, err)
	}
	empty := r.take(c.routes, lookups, dead, crowds)
	r.unlock()
	if len(empty) > 0 {
		r.prove(ctx, empty, began)
	}
}

// openPipe returns the pipeline for the baselines' channels. In a Cluster they are
// not sharded, and messages published by way of different masters would pass each
// other: they all go by way of one.
func (r *Router) openPipe(ctx context.Context, pipe redis.Pipeliner) redis.Pipeliner {
	cluster, ok := r.opts.Redis.(*redis.ClusterClient)
	if !ok || r.opts.Delivery == Targeted {
		return pipe
	}
	master, err := cluster.MasterForKey(ctx, r.keys.Broadcast())
	if err != nil {
		return pipe
	}
	return master.Pipeline()
}

// publish sends or queues a post. In a Cluster the private channels are sharded:
// PUBLISH there reaches every Redis node, and its count is not the whole.
func (r *Router) publish(ctx context.Context, to redis.Cmdable, p *post) *redis.IntCmd {
	if r.sharded && p.private {
		return to.SPublish(ctx, p.channel, p.payload)
	}
	return to.Publish(ctx, p.channel, p.payload)
}

// take hands the lookups' answers to their routes and returns the routes whose
// address nobody seems to own. Nodes that are dead own nothing.
func (r *Router) take(routes []*route, lookups []registry.Lookup, dead nodeSet, crowds map[int]crowd) (empty []*route) {
	for i, rt := range routes {
		found, err := lookups[i].Owners()
		owners := found
		if err == nil {
			owners = r.living(rt.address, r.living(rt.address, found, dead), crowds[i].dead)
			owners = r.withSelf(rt.address, owners)
		}
		switch {
		case errors.Is(err, registry.ErrUnsettled):
			rt.failed(r, retryUnsettled)
		case err != nil:
			rt.lost(r)
		case crowds[i].unsure:
			rt.failed(r, retryUnsettled)
		case len(owners) == 0: // what is in flight still can't be passed by what nobody gets
			empty = append(empty, rt)
		default:
			rt.found(r, owners, slices.Equal(owners, found))
		}
	}
	return empty
}

// withSelf adds this node to the owners of an address that it holds, although its
// entry is lost and not yet claimed again.
func (r *Router) withSelf(address string, owners []registry.Owner) []registry.Owner {
	self := func(o registry.Owner) bool { return o.NodeID == r.opts.NodeID }
	if slices.ContainsFunc(owners, self) || !r.local.holds(address) {
		return owners
	}
	return append(slices.Clip(owners), registry.Owner{NodeID: r.opts.NodeID})
}

// living removes the owners that are dead, here and in the registry.
func (r *Router) living(address string, owners []registry.Owner, dead nodeSet) []registry.Owner {
	if len(dead) == 0 {
		return owners
	}
	alive := owners[:0:0]
	for _, o := range owners {
		if _, gone := dead[o.NodeID]; gone {
			r.stale[staleDead].Inc()
			r.pruneDead(address, o)
			continue
		}
		alive = append(alive, o)
	}
	return alive
}

// prove tells "nobody owns the address" apart from "Redis lost its data". Outside
// a Cluster one question answers for all.
func (r *Router) prove(ctx context.Context, routes []*route, asked time.Time) {
	if !r.sharded {
		r.proved(ctx, routes, asked)
		return
	}
	for i := range routes { // beside the committer: each has a master of its own
		r.run(func(ctx context.Context) { r.proved(ctx, routes[i:i+1], asked) })
	}
}

func (r *Router) proved(ctx context.Context, routes []*route, asked time.Time) {
	settled, err := r.settled(ctx, routes[0].address, asked)
	r.mu.Lock()
	defer r.unlock()
	for _, rt := range routes {
		switch {
		case err != nil:
			rt.failed(r, retryFailed)
		case !settled:
			rt.failed(r, retryUnsettled)
		default:
			rt.nobody(r)
		}
	}
}

// settled tells whether an empty answer to a lookup sent at asked proves that
// nobody owned the address: what Settled says counts for half a heartbeat back.
func (r *Router) settled(ctx context.Context, address string, asked time.Time) (bool, error) {
	settled, err := r.reg.ConfirmAbsent(ctx, address)
	return settled && r.now().Sub(asked) < r.reg.Timing().Heartbeat/2, err
}
