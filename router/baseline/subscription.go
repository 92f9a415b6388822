package baseline

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/router"
)

// subscription is this node's connection to Redis on which it hears: its private channel, under
// Broadcast the shared one, under Subscribe one for each local address. If it is lost, a new
// one is made, which begins with all of them.
type subscription struct {
	r       *Router
	fixed   []string // the channels that are subscribed from the beginning
	hearing atomic.Bool
	heard   chan struct{} // signals that the fixed channels are confirmed
	changed chan struct{} // signals runChanges
	silent  atomic.Bool   // nothing came since the last ping

	// The receiving goroutine's.
	unconfirmed int  // of the fixed channels
	again       bool // they were confirmed before

	mu struct {
		sync.Mutex
		pubsub *redis.PubSub // nil between two connections
		sent   int           // SUBSCRIBEs of addresses that Redis has not confirmed
	}
}

const (
	// maxChanges is how many addresses travel in one SUBSCRIBE or UNSUBSCRIBE.
	maxChanges = 512
	// maxAwaited is how many SUBSCRIBEs may be unconfirmed: Redis cuts off a subscriber that
	// reads its confirmations too slowly.
	maxAwaited = 8 << 10
)

func newSubscription(r *Router) *subscription {
	s := &subscription{
		r: r, fixed: []string{r.keys.Channel(r.opts.NodeID)},
		heard: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}
	if r.opts.Delivery == router.Broadcast {
		s.fixed = append(s.fixed, r.keys.Broadcast())
	}
	return s
}

// run receives until ctx ends. Receive has no deadline: one in mid-message would desynchronise the
// stream. A connection that is silent is found by the heartbeat, which resets it.
func (s *subscription) run(ctx context.Context) {
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		if s.receive(ctx, s.open(ctx)) {
			wait = firstRetry
		}
		s.setHearing(false)
		s.reset()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// open begins a connection with the fixed channels, and has runChanges subscribe all addresses.
func (s *subscription) open(ctx context.Context) *redis.PubSub {
	s.unconfirmed = len(s.fixed)
	s.silent.Store(false)
	s.mu.Lock()
	s.mu.pubsub = s.r.opts.Redis.Subscribe(ctx, s.fixed...)
	s.mu.sent = 0
	if s.r.opts.Delivery == router.Subscribe {
		s.r.sessions.changeAll()
	}
	pubsub := s.mu.pubsub
	s.mu.Unlock()
	s.signalChanges()
	return pubsub
}

// reset closes the connection, so that run makes a new one.
func (s *subscription) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.pubsub != nil {
		_ = s.mu.pubsub.Close()
		s.mu.pubsub = nil
	}
	s.signalChanges() // who waits for confirmations waits in vain
}

// receive takes what arrives until the connection fails. It reports whether it heard anything.
func (s *subscription) receive(ctx context.Context, pubsub *redis.PubSub) (heard bool) {
	for {
		event, err := pubsub.Receive(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, redis.ErrClosed) && !errors.Is(err, net.ErrClosed) {
				s.r.reg.Failed(redisconn.Subscribing, err)
			}
			return heard
		}
		heard = true
		s.silent.Store(false)
		switch event := event.(type) {
		case *redis.Message:
			s.r.handle(event.Payload)
		case *redis.Subscription:
			if event.Kind == "subscribe" {
				s.confirmed(event.Channel)
			}
		}
	}
}

// confirmed takes Redis' word that a channel is subscribed.
func (s *subscription) confirmed(channel string) {
	address, ok := strings.CutPrefix(channel, s.r.keys.Client(""))
	if ok {
		s.received()
		s.r.sessions.confirmed(address)
		return
	}
	if s.unconfirmed--; s.unconfirmed > 0 {
		return
	}
	s.r.reg.Works(redisconn.Subscribing)
	if s.again {
		s.r.counts.resubscribes.Inc()
	}
	s.again = true
	s.setHearing(true)
	signal(s.heard)
}

// received counts the confirmation of an address, which may make room for the next ones.
func (s *subscription) received() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sent--; s.mu.sent == maxAwaited-1 {
		s.signalChanges()
	}
}

func (s *subscription) setHearing(hears bool) {
	s.hearing.Store(hears)
	s.r.counts.hears(hears)
}

// ping asks Redis for a sign of life. If none came since the last ping, the connection is dead,
// however open it looks, and is made anew.
func (s *subscription) ping(ctx context.Context) {
	s.mu.Lock()
	pubsub := s.mu.pubsub
	s.mu.Unlock()
	switch {
	case pubsub == nil:
	case s.silent.Swap(true):
		s.r.reg.Failed(redisconn.Subscribing, errSilent)
		s.reset()
	default:
		_ = pubsub.Ping(ctx) // a failure shows in Receive, or at the next ping
	}
}

var errSilent = errors.New("Redis does not answer on the subscription")

func (s *subscription) signalChanges() { signal(s.changed) }

// runChanges subscribes and unsubscribes addresses, as many at a time as wait. It blocks where
// those who join and leave must not.
func (s *subscription) runChanges(ctx context.Context) {
	for {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
		for s.change(ctx) {
		}
	}
}

// change sends one command, and reports whether there may be another one to send.
func (s *subscription) change(ctx context.Context) bool {
	s.mu.Lock()
	pubsub := s.mu.pubsub
	if pubsub == nil || s.mu.sent >= maxAwaited { // open or confirmed brings the next try
		s.mu.Unlock()
		return false
	}
	channels, ends := s.r.sessions.takeChanges(maxChanges)
	if !ends {
		s.mu.sent += len(channels)
	}
	s.mu.Unlock()
	for i, address := range channels {
		channels[i] = s.r.keys.Client(address)
	}
	switch {
	case len(channels) == 0:
		return false
	case ends:
		_ = pubsub.Unsubscribe(ctx, channels...)
	default:
		_ = pubsub.Subscribe(ctx, channels...) // a failure shows in Receive, too
	}
	return true
}

// takeChanges takes the first changes that are of one kind, up to most.
func (t *sessions) takeChanges(most int) (addresses []string, ends bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.mu.changes {
		if len(addresses) == most || len(addresses) > 0 && c.ends != ends {
			break
		}
		ends = c.ends
		addresses = append(addresses, c.address)
	}
	if t.mu.changes = t.mu.changes[len(addresses):]; len(t.mu.changes) == 0 {
		t.mu.changes = nil
	}
	return addresses, ends
}

// changeAll replaces the changes by a subscription for each address, for a connection that has none.
func (t *sessions) changeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.changes = nil
	clear(t.mu.awaited)
	for address := range t.mu.of {
		t.subscribeLocked(address)
	}
}
