package redisconn

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
)

// testTime bounds every wait of a test. It is reached only by a failure.
const testTime = 2 * time.Minute

// The scripts of a test's client.
var (
	writeScript = NewScript("write", "return redis.call('SET', KEYS[1], ARGV[1])")
	readScript  = NewScript("lookup", "return redis.call('HGETALL', KEYS[1])")
)

// testClient is a Client that counts and logs.
type testClient struct {
	*Client
	dials prometheus.Counter
	book  *logBook
}

func newTestClient(client redis.UniversalClient) *testClient {
	t := &testClient{
		dials: prometheus.NewCounter(prometheus.CounterOpts{Name: "dials"}),
		book:  new(logBook),
	}
	t.Client = New(Options{
		Redis:   client,
		Prefix:  "beeline",
		Scripts: []*Script{writeScript, readScript},
		Dials:   t.dials,
		Up:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "up"}),
		Logger:  slog.New(slog.NewTextHandler(t.book, nil)),
	})
	return t
}

func (c *testClient) wantDials(t *testing.T, want float64) {
	t.Helper()
	if n := testutil.ToFloat64(c.dials); n != want {
		t.Errorf("%v dials counted, want %v", n, want)
	}
}

// write runs scripts that write, in several slots.
func (c *Client) write(ctx context.Context) error {
	var calls []*Call
	for i := range 10 {
		calls = append(calls, writeScript.Call([]string{"beeline:" + strconv.Itoa(i)}, "x"))
	}
	if err := c.Run(ctx, calls); err != nil {
		return err
	}
	for _, call := range calls {
		if err := call.Cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// logBook keeps what is logged.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func eventually(t testing.TB, ok func() bool, complaint func() string) {
	t.Helper()
	for end := time.Now().Add(testTime); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(complaint())
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error: %v, want one that is %v", err, want)
	}
}

func receive[T any](t testing.TB, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(testTime):
		t.Fatalf("not within %v: %s", testTime, what)
	}
	return v
}
