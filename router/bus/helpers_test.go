package bus

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(redistest.Main{M: m}) }

// testTime bounds every wait of a test. It is reached only by a failure.
const testTime = 2 * time.Minute

// until waits for a condition that no event announces.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTime); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// testSource has batches in a queue, whose payloads are their tags.
type testSource struct {
	each      int          // how many it puts at once; 0: all
	published func(Result) // is given each result
	at        func(moment) // called with each batch

	mu      sync.Mutex
	batches []Publication
	results []Result
}

// moment is one in the making of a batch.
type moment int

const (
	beforePut moment = iota
	afterPut
)

func newSource() *testSource { return &testSource{published: func(Result) {}, at: func(moment) {}} }

func (s *testSource) queue(channel string, payloads ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range payloads {
		s.batches = append(s.batches, Publication{Channel: channel, Payload: []byte(p), Tag: p})
	}
}

func (s *testSource) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.batches)
}

func (s *testSource) Batches(out Outlet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	put, kept := 0, make(map[string]bool)
	s.batches = slices.DeleteFunc(s.batches, func(p Publication) bool {
		if s.each > 0 && put == s.each || kept[p.Channel] || !out.Ready(p.Channel) {
			kept[p.Channel] = true
			return false
		}
		put++
		s.at(beforePut)
		out.Put(p)
		s.at(afterPut)
		return true
	})
	return len(s.batches) > 0
}

func (s *testSource) Published(results []Result) {
	s.mu.Lock()
	s.results = append(s.results, results...)
	s.mu.Unlock()
	for _, r := range results {
		s.published(r)
	}
}

func (s *testSource) all() []Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.results)
}

func (s *testSource) awaitResults(t testing.TB, n int) []Result {
	t.Helper()
	until(t, fmt.Sprint(n, " results"), func() bool { return len(s.all()) >= n })
	return s.all()
}

// wantResults asserts all results, each in the form "tag receivers error".
func (s *testSource) wantResults(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, r := range s.all() {
		got = append(got, fmt.Sprint(r.Tag, " ", r.Receivers, " ", r.Err))
	}
	if !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
}

// testBus is a bus that runs, on a Redis.
type testBus struct {
	Bus
	t      testing.TB
	source *testSource
	dials  prometheus.Counter
	log    logBook
	client redis.UniversalClient
	stop   func()
}

// newBus returns once the bus can publish.
func newBus(t testing.TB, client redis.UniversalClient, change func(*Options)) *testBus {
	t.Helper()
	b := newUnconnectedBus(t, client, change)
	until(t, "it can publish", func() bool { return b.Blocked() == 0 })
	return b
}

func newUnconnectedBus(t testing.TB, client redis.UniversalClient, change func(*Options)) *testBus {
	t.Helper()
	b := &testBus{t: t, source: newSource(), dials: prometheus.NewCounter(prometheus.CounterOpts{Name: "dials"}), client: client}
	log := slog.New(slog.NewTextHandler(&b.log, nil))
	o := Options{Redis: client, Source: b.source, Home: "home", Logger: log, Connections: redisconn.New(redisconn.Options{
		Redis: client, Dials: b.dials, Up: prometheus.NewGauge(prometheus.GaugeOpts{Name: "up"}), Logger: log,
	})}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Bus, err = New(o); err != nil {
		t.Fatal(err)
	}
	b.stop = runs(t, b.Run)
	return b
}

// runs runs f until the test ends, or what it returns is called.
func runs(t testing.TB, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// publish publishes payloads and flushes.
func (b *testBus) publish(channel string, payloads ...string) {
	b.source.queue(channel, payloads...)
	b.Flush()
}

// ear keeps what a subscription hears.
type ear struct {
	sub Subscription

	mu           sync.Mutex
	heard        []string
	subscribed   int
	unsubscribed []error
}

// listen returns once the subscription hears.
func (b *testBus) listen(channel string) *ear {
	b.t.Helper()
	e := new(ear)
	e.sub = b.Subscribe(channel, e)
	runs(b.t, func(ctx context.Context) {
		defer context.AfterFunc(ctx, e.sub.Reset)()
		e.sub.Run(ctx)
	})
	e.awaitSubscribed(b.t, 1)
	return e
}

func (e *ear) Received(channel, payload string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, channel+" "+payload)
}

func (e *ear) Subscribed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subscribed++
}

func (e *ear) Unsubscribed(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unsubscribed = append(e.unsubscribed, why)
}

func (e *ear) awaitSubscribed(t testing.TB, times int) {
	t.Helper()
	until(t, "it is subscribed", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.subscribed >= times
	})
}

func (e *ear) awaitHeard(t testing.TB, what string) {
	t.Helper()
	until(t, "it hears "+what, func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Contains(e.heard, what)
	})
}

func (e *ear) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

func (b *testBus) dialed() float64 { return testutil.ToFloat64(b.dials) }

// logBook keeps what was logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}
