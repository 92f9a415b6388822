package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// eachKind runs a test on one Redis and on a Cluster.
func eachKind(t *testing.T, test func(t *testing.T, client redis.UniversalClient, prefix string)) {
	t.Run("one Redis", func(t *testing.T) {
		s := redistest.Start(t)
		test(t, s.PatientClient(t), s.Prefix)
	})
	t.Run("Cluster", func(t *testing.T) {
		c := redistest.StartCluster(t)
		test(t, c.PatientClient(t), c.Prefix)
	})
}

func TestBatchesAreHeardInOrder(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		const channels, batches = 5, 200
		b := newBus(t, client, nil)
		var ears []*ear
		var want [channels][]string
		for i := range channels {
			ears = append(ears, b.listen(fmt.Sprint(prefix, i)))
		}
		for n := range batches {
			for i := range channels {
				payload := fmt.Sprint(n, strings.Repeat("x", n*10))
				b.source.queue(fmt.Sprint(prefix, i), payload)
				want[i] = append(want[i], fmt.Sprint(prefix, i, " ", payload))
			}
			if n%7 == 0 {
				b.Flush()
			}
		}
		b.Flush()
		for _, r := range b.source.awaitResults(t, channels*batches) {
			if r.Receivers != 1 || r.Err != nil {
				t.Fatalf("a batch has %d receivers, and error %v", r.Receivers, r.Err)
			}
		}
		for i, e := range ears {
			e.awaitHeard(t, want[i][batches-1])
			if got := e.all(); !slices.Equal(got, want[i]) {
				t.Errorf("%s: %d batches were heard, not the %d that were published in that order", fmt.Sprint(prefix, i), len(got), batches)
			}
		}
	})
}

func TestReceiversAreCounted(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		b := newBus(t, client, nil)
		b.listen(prefix + "heard")
		b.publish(prefix+"unheard", "batch")
		if r := b.source.awaitResults(t, 1)[0]; r.Receivers != 0 || r.Err != nil || r.Tag != "batch" {
			t.Errorf("nobody has subscribed, and the result is %+v", r)
		}
		for channel, want := range map[string]int64{"heard": 1, "unheard": 0} {
			p := Publication{Channel: prefix + channel, Payload: []byte("probe"), Tag: channel}
			if n, err := b.Publish(t.Context(), p); n != want || err != nil {
				t.Errorf("%s: Publish returned %d, %v, want %d receivers", channel, n, err, want)
			}
			if all := b.PublishAll(t.Context(), []Publication{p, p}); len(all) != 2 || all[1] != (Result{Tag: channel, Receivers: want}) {
				t.Errorf("%s: PublishAll returned %+v, want %d receivers each", channel, all, want)
			}
		}
	})
}

// What the Source has when the bus ends is published by Drain.
func TestDrainPublishesWhatIsLeft(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		b := newBus(t, client, nil)
		e := b.listen(prefix)
		b.stop()
		b.publish(prefix, "1", "2")
		if b.source.left() != 2 {
			t.Error("a bus that has ended publishes")
		}
		b.Drain(t.Context())
		b.source.wantResults(t, "1 1 <nil>", "2 1 <nil>")
		e.awaitHeard(t, prefix+" 2")
	})
}

func TestResetMakesTheSubscriptionAnew(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		b := newBus(t, client, nil)
		e := b.listen(prefix)
		e.sub.Reset()
		e.awaitSubscribed(t, 2)
		b.publish(prefix, "after")
		e.awaitHeard(t, prefix+" after")
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, why := range e.unsubscribed {
			if why != nil {
				t.Errorf("the subscription failed: %v; want no error, since it was reset", why)
			}
		}
	})
}

func TestResetPublishingMakesTheConnectionAnew(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		b := newBus(t, client, nil)
		b.publish(prefix, "before")
		b.source.awaitResults(t, 1)
		before := b.dialed()
		b.ResetPublishing(prefix, errors.New("a test"))
		b.publish(prefix, "after")
		until(t, "the connection is dialed", func() bool { return b.dialed() > before })
		b.source.awaitResults(t, 2)
	})
}

// Connections that were opened before the trouble are closed, all of them.
func TestResetMakesAllConnectionsAnew(t *testing.T) {
	eachKind(t, func(t *testing.T, client redis.UniversalClient, prefix string) {
		b := newBus(t, client, func(o *Options) { o.Home = prefix })
		e := b.listen(prefix)
		b.publish(prefix, "before")
		b.source.awaitResults(t, 1)
		before := b.dialed()
		b.Reset(t.Context(), prefix, time.Now(), errors.New("a test"))
		e.awaitSubscribed(t, 2)
		b.poll(t)
		until(t, "both connections are dialed", func() bool { return b.dialed() >= before+2 })
		until(t, "it can publish again", func() bool { return b.Blocked() == 0 })
		b.publish(prefix, "after")
		e.awaitHeard(t, prefix+" after")
	})
}

// poll has the bus look at its connections, as every probe does.
func (b *testBus) poll(t *testing.T) {
	t.Helper()
	_, _ = b.Publish(t.Context(), Publication{Channel: "probe"})
}

// A connection that Redis closes loses what has no reply, says so, and is made anew.
func TestClosedConnectionIsMadeAnew(t *testing.T) {
	s := redistest.StartOwn(t)
	b := newBus(t, s.PatientClient(t), nil)
	b.resend(s.Prefix)
	e := b.listen(s.Prefix)
	admin := s.Client(t)
	for i := range 5 {
		dials := b.dialed()
		if err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		b.poll(t)
		until(t, "a connection is dialed", func() bool { return b.dialed() > dials })
		until(t, "it can publish", func() bool { return b.Blocked() == 0 })
		b.publish(s.Prefix, fmt.Sprint(i))
		e.awaitHeard(t, fmt.Sprint(s.Prefix, " ", i))
	}
}

// A Redis that does not answer loses the batches, and Blocked says that nothing can be
// published; when it answers again all goes on.
func TestSilentRedisLosesBatches(t *testing.T) {
	s := redistest.StartOwn(t)
	proxy := redistest.StartProxy(t, s)
	b := newBus(t, proxy.Client(t), nil)
	proxy.Stall()
	b.publish(s.Prefix, "lost")
	if r := b.source.awaitResults(t, 1)[0]; !errors.Is(r.Err, ErrLost) || !errors.Is(r.Err, errSilent) {
		t.Errorf("the result is %v, want ErrLost because Redis is silent", r.Err)
	}
	if b.Blocked() == 0 {
		t.Error("nothing can be published, and Blocked does not say so")
	}
	b.publish(s.Prefix, "waits")
	proxy.Mend()
	if r := b.source.awaitResults(t, 2)[1]; r.Tag != "waits" || r.Err != nil {
		t.Errorf("after the stall the result is %+v", r)
	}
}

// Check finds a subscription that is silent.
func TestCheckFindsASilentSubscription(t *testing.T) {
	s := redistest.StartOwn(t)
	proxy := redistest.StartProxy(t, s)
	b := newBus(t, proxy.Client(t), nil)
	e := b.listen(s.Prefix)
	e.sub.Check(t.Context())
	b.publish(s.Prefix, "it hears")
	e.awaitHeard(t, s.Prefix+" it hears")
	e.sub.Check(t.Context()) // something has come
	b.publish(s.Prefix, "it still hears")
	e.awaitHeard(t, s.Prefix+" it still hears")
	e.mu.Lock()
	if e.subscribed != 1 {
		t.Error("a subscription that hears was made anew")
	}
	e.mu.Unlock()
	if n := proxy.StallSubscriptions(); n != 1 {
		t.Fatalf("%d subscriptions, want 1", n)
	}
	until(t, "it has subscribed again", func() bool {
		e.sub.Check(t.Context())
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.subscribed >= 2
	})
	proxy.Mend()
	b.publish(s.Prefix, "again")
	e.awaitHeard(t, s.Prefix+" again")
}

// resend has what is lost, was not published, or reached nobody, published again on channel,
// as links do.
func (b *testBus) resend(channel string) {
	b.source.published = func(r Result) {
		if errors.Is(r.Err, ErrLost) || errors.Is(r.Err, ErrMoved) || r.Err == nil && r.Receivers == 0 {
			b.publish(channel, fmt.Sprint(r.Tag))
		}
	}
}

// Redis that refuses PUBLISH keeps the connection; the log is told once, with advice.
func TestRefusedPublish(t *testing.T) {
	s := redistest.StartOwn(t)
	b := newBus(t, s.PatientClient(t), nil)
	admin := s.Client(t)
	allow := func(rule string) {
		if err := admin.Do(t.Context(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	dials := b.dialed()
	for round := 1; round <= 2; round++ {
		allow("-publish")
		b.publish(s.Prefix, "1")
		b.source.awaitResults(t, 3*round-2)
		b.publish(s.Prefix, "2")
		results := b.source.awaitResults(t, 3*round-1)
		for _, r := range results[3*round-3:] {
			if r.Err == nil || errors.Is(r.Err, ErrLost) || !strings.HasPrefix(r.Err.Error(), "NOPERM") {
				t.Errorf("refused: the result is %v", r.Err)
			}
		}
		until(t, "the log was told", func() bool { return b.log.count("Redis refuses PUBLISH") == round })
		allow("+publish")
		b.publish(s.Prefix, "3")
		if r := b.source.awaitResults(t, 3*round)[3*round-1]; r.Err != nil {
			t.Errorf("allowed: the result is %v", r.Err)
		}
	}
	if n := b.log.count("Redis refuses PUBLISH"); n != 2 || b.log.count("docs/redis.md") != 2 {
		t.Errorf("the log was told %d times of two refusals, want once each with advice", n)
	}
	if n := b.dialed(); n != dials {
		t.Errorf("%v connections were made anew", n-dials)
	}
}

// otherSlots returns channels that are each at another master of a Cluster.
func otherSlots(c *redistest.Cluster) (channels []string) {
	seen := make(map[string]bool)
	for i := 0; len(channels) < 3; i++ {
		channel := fmt.Sprint(c.Prefix, i)
		if master, _ := c.MasterOf(channel); !seen[master.Addr] {
			seen[master.Addr] = true
			channels = append(channels, channel)
		}
	}
	return channels
}

// A channel whose slot has moved is published on at its new master, and nothing is stuck or
// lost without a word.
func TestMovedChannelIsFollowed(t *testing.T) {
	c := redistest.StartOwnCluster(t)
	b := newBus(t, c.PatientClient(t), nil)
	channels := otherSlots(c)
	channel := channels[0]
	e := newBus(t, c.PatientClient(t), nil).listen(channel) // b's client learns nothing from it
	b.resend(channel)
	for i, to := range []string{channels[1], channels[2], channel} {
		b.publish(channel, fmt.Sprint("before ", i))
		e.awaitHeard(t, fmt.Sprint(channel, " before ", i))
		from, slot := c.MasterOf(channel)
		target, _ := c.MasterOf(to)
		if target == from { // the last one is back at the first
			target, _ = c.MasterOf(channels[1])
		}
		c.MigrateSlot(slot, target, func() {})
		b.publish(channel, fmt.Sprint("moved ", i))
		e.awaitHeard(t, fmt.Sprint(channel, " moved ", i))
	}
}

// While a master is dead, channels at the others are published on. When its replica has
// taken over, those at the dead one are, too.
func TestDeadMasterHoldsUpNobodyElse(t *testing.T) {
	c := redistest.StartOwnCluster(t)
	b := newBus(t, c.PatientClient(t), nil)
	channels := otherSlots(c)
	hearing := newBus(t, c.PatientClient(t), nil) // b's client learns nothing from its subscriptions
	var ears []*ear
	for _, channel := range channels {
		ears = append(ears, hearing.listen(channel))
		b.publish(channel, "before")
	}
	b.source.awaitResults(t, len(channels))
	master, slot := c.MasterOf(channels[0])
	c.AddReplica(master)
	e := ears[1]
	before := len(e.all())
	stop := runs(t, func(ctx context.Context) {
		for i := 0; ctx.Err() == nil; i++ {
			b.publish(channels[0], "to the dead one")
			b.publish(channels[1], fmt.Sprint(i))
			sleep(ctx, time.Millisecond)
		}
	})
	c.KillMaster(slot) // takes two seconds
	if n := len(e.all()) - before; n < 100 {
		t.Errorf("while a master was dead, %d batches were heard at another one", n)
	}
	stop()
	ears[0].awaitSubscribed(t, 2)
	b.publish(channels[0], "after")
	ears[0].awaitHeard(t, channels[0]+" after")
	until(t, "all is published", func() bool { b.Flush(); return b.source.left() == 0 })
	for _, r := range b.source.all() {
		if r.Err != nil && !errors.Is(r.Err, ErrLost) && !errors.Is(r.Err, ErrMoved) && !strings.HasPrefix(r.Err.Error(), "CLUSTERDOWN") {
			t.Errorf("%v: %v", r.Tag, r.Err)
		}
	}
}

// A former master goes on to answer, as a replica, and counts nobody. It must not make a peer
// that hears at the new one look unsubscribed until go-redis happens to ask for the slots.
func TestFormerMasterIsLeft(t *testing.T) {
	c := redistest.StartOwnCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs, DisableIdentity: true, ContextTimeoutEnabled: true,
		ClusterStateReloadInterval: 24 * time.Hour})
	t.Cleanup(func() { _ = client.Close() })
	channel := c.Prefix
	b := newBus(t, client, func(o *Options) { o.Home = channel })
	b.publish(channel, "before")
	b.source.awaitResults(t, 1)
	master, slot := c.MasterOf(channel)
	c.AddReplica(master)
	c.Failover(slot)
	hears := c.PatientClient(t)
	until(t, "a client knows the new master", func() bool {
		hears.ReloadState(t.Context())
		now, err := hears.MasterForKey(t.Context(), channel)
		return err == nil && now.Options().Addr != master.Addr
	})
	newBus(t, hears, nil).listen(channel)
	until(t, "the probe reaches it", func() bool {
		n, err := b.Publish(t.Context(), Publication{Channel: channel})
		return err == nil && n == 1
	})
	b.ResetPublishing(channel, errors.New("the probe has reached it"))
	b.publish(channel, "after")
	if r := b.source.awaitResults(t, 2)[1]; r.Receivers != 1 || r.Err != nil {
		t.Errorf("after the reset the batch has %d receivers, and error %v", r.Receivers, r.Err)
	}
}

// A Cluster that can't be dialed, at the start or later, is tried again until it can be.
func TestClusterThatIsAwayIsTriedAgain(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // go-redis tries to dial for a second longer
		until(t, "nobody dials any more", func() bool { return goleak.Find(before) == nil })
	})
	c := redistest.StartOwnCluster(t)
	var away atomic.Bool
	var refused atomic.Int64
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs, DisableIdentity: true, ContextTimeoutEnabled: true,
		MaxRetries: -1, MaxRedirects: -1, DialerRetries: 1,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if away.Load() {
				refused.Add(1)
				return nil, errors.New("no Cluster")
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}})
	t.Cleanup(func() { _ = client.Close() })
	away.Store(true)
	b := newUnconnectedBus(t, client, nil)
	channels := otherSlots(c)
	for round := 1; round <= 2; round++ {
		for _, channel := range channels {
			b.publish(channel, "waits")
		}
		tries := refused.Load()
		until(t, "dialing was tried", func() bool { return refused.Load() > tries+20 && b.log.count("no Cluster") > 0 })
		if n := len(b.source.all()); n != (round-1)*len(channels) {
			t.Errorf("%d batches have results", n)
		}
		away.Store(false)
		for _, r := range b.source.awaitResults(t, round*len(channels)) {
			if r.Err != nil {
				t.Errorf("the result is %v", r.Err)
			}
		}
		away.Store(true)
		for _, s := range c.Servers {
			if err := s.Client(t).Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the bus knows that the connections have ended", func() bool { b.poll(t); return b.Blocked() > 0 })
	}
}

// Until a connection that has ended is forgotten, nothing is published on it.
func TestEndedConnectionTakesNothing(t *testing.T) {
	k := newCluster(&Options{}, nil)
	c := newPublishConn(new(fakeConn))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.placeLocked("c", c)
	if k.connLocked("c") != c || len(k.missing) > 0 {
		t.Error("a placed channel has no connection")
	}
	c.ended = true
	if k.connLocked("c") != nil || len(k.missing) != 1 {
		t.Error("a connection that has ended is used, or nobody looks for another one")
	}
	if k.connLocked("c") != nil || len(k.missing) != 1 {
		t.Error("a channel is looked for twice")
	}
}

func TestOtherClientsAreRefused(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": "127.0.0.1:1"}})
	defer ring.Close()
	if _, err := New(Options{Redis: ring}); err == nil || !strings.Contains(err.Error(), "allowed are") {
		t.Errorf("a Ring was taken: %v", err)
	}
}

// While nothing can be dialed, the bus tries again, and ends at once when it is to.
func TestRunEndsWithoutRedis(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: redistest.FreeAddr(t), DisableIdentity: true, ContextTimeoutEnabled: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no Redis") }})
	t.Cleanup(func() { _ = client.Close() })
	b := newUnconnectedBus(t, client, nil)
	until(t, "the log was told", func() bool { return b.log.count("no Redis") > 0 })
	if b.Blocked() == 0 {
		t.Error("nothing can be published, and Blocked does not say so")
	}
}
