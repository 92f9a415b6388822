package baseline

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router"
)

const (
	// maxBatch is how long a broadcast batch grows, about, and maxPipeline all that is sent to
	// Redis at a time, in bytes. One message may be longer. What is queued beyond that waits for
	// the next pipeline.
	maxBatch    = 256 << 10
	maxPipeline = 4 << 20
	// maxScratch is how much room for them is kept, in bytes.
	maxScratch = 1 << 20
	// publishTimeout bounds the round trip of a pipeline.
	publishTimeout = 3 * time.Second
	// firstRetry and lastRetry are the waits until Redis is asked again whether it works.
	firstRetry = 10 * time.Millisecond
	lastRetry  = 250 * time.Millisecond
)

// publisher is what the publisher's goroutine keeps from one pipeline to the next.
type publisher struct {
	messages []*sent
	posts    []post
	payloads []byte
	failing  bool // the log was told that Redis does not take PUBLISH
}

// post is one PUBLISH.
type post struct {
	channel  string
	payload  []byte
	frames   int
	messages []*sent // in it; none: it carries receipts
}

// runPublisher publishes what is queued, one pipeline at a time: what is queued meanwhile
// travels in the next.
func (r *Router) runPublisher(ctx context.Context) {
	for {
		select {
		case <-r.due:
		case <-ctx.Done():
			return
		}
		r.publishQueued(ctx)
	}
}

// publishQueued publishes until nothing is queued or ctx ends.
func (r *Router) publishQueued(ctx context.Context) {
	p := &r.publisher
	for ctx.Err() == nil {
		r.mu.Lock()
		p.messages = r.takeQueuedLocked(p.messages[:0])
		replies := r.mu.replies.take()
		r.mu.Unlock()
		r.encode(p, replies)
		if len(p.posts) == 0 {
			return
		}
		if err := r.publish(ctx, p); err != nil {
			r.awaitRedis(ctx, err)
		}
	}
}

// takeQueuedLocked appends what is to be published next, up to maxPipeline.
func (r *Router) takeQueuedLocked(messages []*sent) []*sent {
	taken, size := 0, 0
	for ; taken < len(r.mu.queue) && size < maxPipeline; taken++ {
		s := r.mu.queue[taken]
		if s.phase == ended {
			r.mu.letGo(s)
			continue
		}
		s.phase = publishing
		size += s.size
		messages = append(messages, s)
	}
	r.mu.queue = slices.Delete(r.mu.queue, 0, taken)
	return messages
}

// encode makes posts of messages and receipts.
func (r *Router) encode(p *publisher, replies map[string]*answers) {
	clear(p.posts)
	p.posts = p.posts[:0]
	if p.payloads = p.payloads[:0]; cap(p.payloads) > maxScratch {
		p.payloads = nil
	}
	for i := 0; i < len(p.messages); {
		i = r.encodeMessages(p, i)
	}
	for node, a := range replies {
		h := header{r.opts.NodeID, r.origin}
		p.posts = append(p.posts, post{channel: r.keys.Channel(node), payload: append(h.append(nil), a.frames...), frames: a.count})
	}
}

// encodeMessages makes a post of the messages from the i-th on and returns the first one that
// is not in it.
func (r *Router) encodeMessages(p *publisher, i int) (next int) {
	h := header{r.opts.NodeID, r.origin}
	begin := len(p.payloads)
	b := h.append(p.payloads)
	channel, most := r.keys.Broadcast(), len(p.messages)
	if r.opts.Delivery == router.Subscribe {
		channel, most = r.keys.Client(p.messages[i].To), i+1
	}
	for next = i; next < most && (next == i || len(b)-begin < maxBatch); next++ {
		s := p.messages[next]
		b = appendMessage(b, &s.Message, s.accepted.UnixMicro())
	}
	p.payloads = b
	p.posts = append(p.posts, post{channel: channel, payload: b[begin:], frames: next - i, messages: p.messages[i:next]})
	return next
}

// publish sends the posts and takes Redis' replies. It returns an error if it is not known what
// Redis has taken.
func (r *Router) publish(ctx context.Context, p *publisher) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	pipe, err := r.pipeline(ctx)
	if err != nil {
		return r.takeReplies(p, func(int) (int64, error) { return 0, err })
	}
	replies := make([]*redis.IntCmd, len(p.posts))
	for i := range p.posts {
		replies[i] = pipe.Publish(ctx, p.posts[i].channel, p.posts[i].payload)
		r.counts.post(&p.posts[i])
	}
	r.counts.pipeline(len(p.posts))
	_, _ = pipe.Exec(ctx) // each command has an error of its own
	return r.takeReplies(p, func(i int) (int64, error) { return replies[i].Result() })
}

// takeReplies takes what Redis has replied to each post, and returns an error among it.
func (r *Router) takeReplies(p *publisher, reply func(i int) (heard int64, err error)) (failure error) {
	var told []outcome
	now := time.Now()
	r.mu.Lock()
	for i := range p.posts {
		heard, err := reply(i)
		if err != nil {
			failure = err
		}
		for _, s := range p.posts[i].messages {
			told = r.repliedLocked(told, s, heard, err, now)
		}
	}
	r.counts.pending(&r.mu.pending)
	r.mu.Unlock()
	r.tell(told)
	r.sayPublishing(p, failure)
	return failure
}

// pipeline returns an empty one. In a Cluster all messages go by way of one master, which passes
// them on to the others: those that took different ways would pass each other.
func (r *Router) pipeline(ctx context.Context) (redis.Pipeliner, error) {
	cluster, ok := r.opts.Redis.(*redis.ClusterClient)
	if !ok {
		return r.opts.Redis.Pipeline(), nil
	}
	master, err := cluster.MasterForKey(ctx, r.keys.Broadcast())
	if err != nil {
		return nil, err
	}
	return master.Pipeline(), nil
}

// repliedLocked takes Redis' reply to the PUBLISH of a message. Whatever Redis answers
// with an error, it has not published. Without an answer it may have.
func (r *Router) repliedLocked(told []outcome, s *sent, heard int64, err error, now time.Time) []outcome {
	var refused redis.Error
	switch {
	case errors.As(err, &refused):
		r.counts.overloaded(overloadRedis)
		told = r.endLocked(told, s, router.Overloaded, now)
	case err != nil: // unknown until the deadline
	case heard == 0 && r.opts.Delivery == router.Subscribe && !r.sharded:
		told = r.endLocked(told, s, router.Offline, now)
	case !s.Receipt:
		told = r.endLocked(told, s, router.Published, now)
	}
	if s.phase == publishing {
		s.phase = published
	}
	r.mu.letGo(s)
	return told
}

// sayPublishing has the log told when Redis stops taking PUBLISH, and when it does again.
func (r *Router) sayPublishing(p *publisher, err error) {
	switch {
	case err != nil && r.ctx.Err() == nil:
		p.failing = true
		r.reg.Failed(redisconn.Publishing, err)
	case err == nil && p.failing:
		p.failing = false
		r.reg.Works(redisconn.Publishing)
	}
}

// awaitRedis returns once Redis answers again. Until then nothing is accepted: it would be
// published long after its deadline.
func (r *Router) awaitRedis(ctx context.Context, err error) {
	var refused redis.Error
	if errors.As(err, &refused) {
		return
	}
	r.setBlocked(time.Now())
	defer r.setBlocked(time.Time{})
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, publishTimeout)
		err := r.opts.Redis.Ping(asking).Err()
		cancel()
		if err == nil {
			return
		}
	}
}

func (r *Router) setBlocked(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.blockedSince = since
}
