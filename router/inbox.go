package router

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// Waits before the private channel is subscribed again.
const (
	firstResubscribe = 10 * time.Millisecond
	lastResubscribe  = 250 * time.Millisecond
)

// Why an envelope or a batch was not acted on: the closed set of drop reasons.
type dropReason uint8

const (
	dropMalformed dropReason = iota
	dropVersion
	dropUnknownKind
	dropDuplicate
	dropRepeated
	dropGap
	dropHops
	dropTooManyLinks
	dropUnsigned
	dropForged
	dropJSON
	dropStale
	dropNotReplacing

	dropReasons = iota
)

var dropNames = [dropReasons]string{
	"malformed", "version", "unknown_kind", "duplicate", "repeated", "gap", "hops", "too_many_links",
	"unsigned", "bad_mac", "json", "too_old", "not_replacing",
}

// inbox subscribes this node's channels and takes what arrives there. Its
// goroutine receives; others may add channels and reset it.
type inbox struct {
	r       *Router
	private string // this node's channel
	trusts  bool   // what is taken was signed

	// The receiving goroutine's.
	recent     *idWindows
	arrival    arrival   // the message in hand
	now        time.Time // when its batch came
	limit      int       // of what is remembered of refusals on its link
	subscribed bool      // the private channel was, once
	signer     *link.Signer
	// refusedSaid is when a payload that was not opened was logged last.
	refusedSaid time.Time

	mu       sync.Mutex
	sub      *redis.PubSub
	channels map[string]chan struct{} // subscribed beside the private one; closed once confirmed
}

func newInbox(r *Router) *inbox {
	return &inbox{
		r: r, private: r.keys.Channel(r.opts.NodeID), trusts: r.keyed(),
		recent: newIDWindows(), signer: link.NewSigner(r.opts.ClusterKeys), channels: make(map[string]chan struct{}),
	}
}

// run receives until ctx ends. Receive has no deadline: one in mid-message would
// desynchronise the stream. A silent connection is found by the heartbeat, which
// resets it.
func (in *inbox) run(ctx context.Context) {
	wait := firstResubscribe
	for first := true; ctx.Err() == nil; first = false {
		if !first {
			in.follow(ctx)
		}
		if in.receive(ctx, in.subscribe(ctx)) {
			wait = firstResubscribe
		}
		in.r.setHearing(false)
		in.r.pollPublisher()
		in.reset()
		_ = in.r.runtime.Sleep(ctx, wait)
		wait = min(2*wait, lastResubscribe)
	}
}

// follow has go-redis learn anew which master has the private channel's slot: the
// slot may have moved, and a refused SSUBSCRIBE alone does not make it look.
func (in *inbox) follow(ctx context.Context) {
	if cluster, ok := in.r.opts.Redis.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// subscribe opens the subscription of the private channel and all others.
func (in *inbox) subscribe(ctx context.Context) *redis.PubSub {
	in.mu.Lock()
	defer in.mu.Unlock()
	if client := in.r.opts.Redis; in.r.sharded {
		in.sub = client.SSubscribe(ctx, in.private)
	} else {
		in.sub = client.Subscribe(ctx, in.private)
	}
	if len(in.channels) > 0 {
		names := make([]string, 0, len(in.channels))
		for name := range in.channels {
			names = append(names, name)
		}
		_ = in.sub.Subscribe(ctx, names...) // a failure shows in Receive, too
	}
	return in.sub
}

// reset closes the subscription, so that run begins a new one.
func (in *inbox) reset() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.sub != nil {
		_ = in.sub.Close()
		in.sub = nil
	}
}

// add subscribes one more channel; the result is closed once Redis confirms it.
func (in *inbox) add(ctx context.Context, channel string) <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	confirmed := make(chan struct{})
	in.channels[channel] = confirmed
	if in.sub != nil {
		_ = in.sub.Subscribe(ctx, channel) // a failure shows in Receive, too
	}
	return confirmed
}

// confirmed returns what is closed once Redis has confirmed a channel.
func (in *inbox) confirmed(channel string) <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.channels[channel]
}

// drop ends the subscription that confirmed stands for, unless a newer one of the
// same channel has taken its place.
func (in *inbox) drop(ctx context.Context, channel string, confirmed <-chan struct{}) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if c, ok := in.channels[channel]; !ok || c != confirmed {
		return
	}
	delete(in.channels, channel)
	if in.sub != nil {
		_ = in.sub.Unsubscribe(ctx, channel)
	}
}

// receive takes what arrives until the connection fails, or Redis says that the
// channel has moved to another master. It tells whether it heard anything.
func (in *inbox) receive(ctx context.Context, sub *redis.PubSub) (heard bool) {
	for {
		event, err := sub.Receive(ctx)
		if err != nil {
			in.lost(ctx, err)
			return heard
		}
		switch event := event.(type) {
		case *redis.Subscription:
			switch {
			case event.Channel != in.private:
				in.confirm(event)
			case strings.HasSuffix(event.Kind, "unsubscribe"):
				return heard
			default:
				heard = true
				in.r.reg.Works(registry.Subscribing)
				if in.subscribed {
					in.r.m.Resubscribes.Inc()
				}
				in.subscribed = true
				in.r.setHearing(true)
			}
		case *redis.Message:
			in.handle(event.Channel, event.Payload)
		}
	}
}

// lost has the log told why the node is deaf. A subscription that this node has closed
// itself is no cause: whoever closed it has told one.
func (in *inbox) lost(ctx context.Context, err error) {
	if ctx.Err() == nil && !errors.Is(err, redis.ErrClosed) && !errors.Is(err, net.ErrClosed) {
		in.r.reg.Failed(registry.Subscribing, err)
	}
}

func (in *inbox) confirm(event *redis.Subscription) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if c, ok := in.channels[event.Channel]; ok && event.Kind == "subscribe" {
		select {
		case <-c:
		default:
			close(c)
		}
	}
}
