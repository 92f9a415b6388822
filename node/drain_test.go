package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/router"
)

func TestDrain(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.DrainPeriod = 100 * time.Millisecond })
	clients := make([]*client, 10)
	for i := range clients {
		clients[i] = connect(t, n.Addr(), fmt.Sprint("c", i))
	}
	eventually(t, "their handshakes are over", func() bool { return len(n.handshakes.slots) == 1 })
	waiting := dial(t, n.Addr())                                                         // says nothing
	eventually(t, "it is accepted", func() bool { return len(n.handshakes.slots) == 2 }) // and one is for the next
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop(t, n.Node)
	}()
	for _, c := range clients {
		c.want(ws.OpText, `{"type":"bye","reason":"draining","retry":true}`)
		c.wantClose(ws.StatusGoingAway)
	}
	answer, _ := io.ReadAll(waiting)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
		t.Errorf("who waits is told %q", answer)
	}
	<-stopped
	if !n.x.drained || len(n.table.snapshot(nil)) != 0 {
		t.Error("the router was not told, or sessions are left")
	}
	for i := range clients {
		if n.x.members(fmt.Sprint("c", i)) != 0 {
			t.Errorf("c%d did not leave", i)
		}
	}
	if conn, err := net.Dial("tcp", n.Addr()); err == nil {
		conn.Close()
		t.Error("still listening")
	}
}

func TestStopIsNoError(t *testing.T) {
	var log lockedBuffer
	n := start(t, func(o *Options, _ *localExchange) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		o.ClusterKeys = []router.ClusterKey{make(router.ClusterKey, 32)} // without one there is a warning
	})
	connect(t, n.Addr(), "a")
	stop(t, n.Node)
	if text := log.String(); text != "" {
		t.Errorf("logged: %s", text)
	}
}

// lockedBuffer is a log.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(line)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestDrainIsCutShort(t *testing.T) {
	n := start(t, func(o *Options, _ *localExchange) { o.DrainPeriod = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 5 {
		c := connect(t, n.Addr(), fmt.Sprint("c", i)) // which does not answer
		go func() {
			c.next() // the first bye; the others' turns come later
			cancel()
		}()
	}
	if p := n.drainPeriod(ctx); p > patience*3/4 {
		t.Errorf("of %v all but %v are for the sessions' turns", patience, patience-p)
	}
	if err := n.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("stop says %v", err)
	}
	eventually(t, "all are gone", func() bool { return len(n.table.snapshot(nil)) == 0 })
}

func TestAdmin(t *testing.T) {
	n := start(t, nil)
	admin := "http://" + n.AdminAddr()
	wantGet(t, admin+"/healthz", http.StatusOK, "ok")
	wantGet(t, admin+"/readyz", http.StatusOK, "ready")
	wantGet(t, admin+"/metrics", http.StatusOK, `beeline_closes_total{reason="slow_consumer"} 0`)
	wantGet(t, admin+"/metrics", http.StatusOK, "go_goroutines")
	wantGet(t, admin+"/other", http.StatusNotFound, "/readyz")
	n.x.mu.Lock()
	n.x.hindrances = []router.Hindrance{{Cause: router.CauseUnsubscribed, Err: errors.New("private channel is not subscribed")}}
	n.x.mu.Unlock()
	wantGet(t, admin+"/readyz", http.StatusServiceUnavailable, "not subscribed")
	wantGet(t, admin+"/healthz", http.StatusOK, "ok")
	n.draining.Store(true)
	wantGet(t, admin+"/readyz", http.StatusServiceUnavailable, "draining")
	conn := dial(t, n.Addr())
	io.WriteString(conn, upgradeHead("/ws?client=late"))
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "Retry-After: ") {
		t.Errorf("a draining node answers %q", answer)
	}
}

func TestOptions(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	for name, o := range map[string]Options{
		"no Redis":      {},
		"bad name":      {Redis: client, Name: "a b"},
		"short queue":   {Redis: client, MaxMessage: 1 << 20, MaxQueue: 1 << 20},
		"negative ping": {Redis: client, PingInterval: -1},
		"no time":       {Redis: client, MessageTimeout: -1},
		"long grace":    {Redis: client, Grace: 2501 * time.Millisecond},
		"longer grace":  {Redis: client, MessageTimeout: time.Minute, Grace: 31 * time.Second},
		"past grace":    {Redis: client, Grace: -1},
		"one handshake": {Redis: client, MaxHandshakes: 1}, // nobody could go from a page to a WebSocket
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	a, err := New(Options{Redis: client, Name: "Node_1.x", Grace: 2500 * time.Millisecond})
	b, err2 := New(Options{Redis: client, Name: "Node_1.x"})
	if err != nil || err2 != nil || a.ID() == b.ID() || len(a.ID()) != len("Node_1.x-")+8 {
		t.Errorf("IDs %s and %s, %v, %v", a.ID(), b.ID(), err, err2)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Errorf("stopping what never started: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	n, err := New(Options{Redis: client, Listen: taken.Addr().String(), AdminListen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err == nil {
		t.Error("two listen at one address")
	}
	if conn, err := net.Dial("tcp", n.AdminAddr()); err == nil {
		conn.Close()
		t.Error("the admin listener stays")
	}
}

func TestAdvertised(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:80": "http://127.0.0.1:80", "[::1]:80": "http://[::1]:80",
		"0.0.0.0:80": "http://" + net.JoinHostPort(hostAddress(), "80"), "[::]:80": "http://" + net.JoinHostPort(hostAddress(), "80"),
	} {
		addr, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := advertised(addr); got != want {
			t.Errorf("%s is advertised as %s, want %s", listen, got, want)
		}
	}
}
