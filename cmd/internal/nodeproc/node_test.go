//go:build unix

package nodeproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"

	"github.com/beeline-ws/beeline/registry/redisproc"
	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

func TestMain(m *testing.M) {
	logging.Disable()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(built)
		os.Exit(code)
	}))
}

// built is where binary builds.
var built = filepath.Join(os.TempDir(), fmt.Sprintf("beeline-nodeproc-test-%d", os.Getpid()))

// binary builds beeline, once.
var binary = sync.OnceValues(func() (string, error) { return Build(context.Background(), built) })

func startRedis(t *testing.T) *redisproc.Server {
	t.Helper()
	r, err := redisproc.Start(t.Context(), t.TempDir())
	if errors.Is(err, redisproc.ErrNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}

func startNode(t *testing.T, r *redisproc.Server, env ...string) *Node {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Options{Binary: path, Name: "n1", RedisURL: r.URL, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	return n
}

func TestNodeServesUntilItIsStopped(t *testing.T) {
	n := startNode(t, startRedis(t))
	if !strings.HasPrefix(n.ID, "n1-") || !strings.HasPrefix(n.URL, "ws://127.0.0.1:") || !strings.HasPrefix(n.Admin, "http://127.0.0.1:") {
		t.Errorf("ID %q, URL %q, admin %q", n.ID, n.URL, n.Admin)
	}
	n.Stop(t.Context())
	if n.Err() != nil {
		t.Errorf("it ended with %v\n%s", n.Err(), n.Log())
	}
	if err := n.Signal(os.Interrupt); err == nil {
		t.Error("a process that has ended takes a signal")
	}
}

func TestNodeThatCannotStartSaysWhy(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Binary: path, Name: "n1", RedisURL: startRedis(t).URL,
		Env: []string{"BEELINE_DELIVERY=carrier-pigeon"}})
	if !errors.Is(err, child.ErrEndedAtOnce) || !strings.Contains(err.Error(), "carrier-pigeon") {
		t.Errorf("error %v", err)
	}
}

func TestOwnSettingsDontReachNodes(t *testing.T) {
	t.Setenv("BEELINE_DELIVERY", "carrier-pigeon")
	startNode(t, startRedis(t))
}

func TestLogIsBounded(t *testing.T) {
	l := newNodeLog()
	for range 1000 {
		fmt.Fprintf(l, "%s\n", strings.Repeat("x", 100))
	}
	fmt.Fprint(l, `{"msg":"node serves","node":"n1-0","cli`)
	fmt.Fprint(l, `ents":"a:1","admin":"a:2"}`+"\n")
	<-l.served
	if l.id != "n1-0" || l.clients != "a:1" || l.admin != "a:2" || len(l.String()) > maxLog {
		t.Errorf("found %q, %q, %q; kept %d bytes", l.id, l.clients, l.admin, len(l.String()))
	}
}
