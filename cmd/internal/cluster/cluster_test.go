//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/goleak"
)

// orphanVariable, if it is set, makes the test binary a program that starts a
// Redis in that directory, says its number, and ends without ending it.
const orphanVariable = "CLUSTER_TEST_ORPHAN"

func TestMain(m *testing.M) {
	logging.Disable()
	if dir := os.Getenv(orphanVariable); dir != "" {
		r, err := StartRedis(context.Background(), dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(r.Addr)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(built)
		os.Exit(code)
	}))
}

// built is where binary builds.
var built = filepath.Join(os.TempDir(), fmt.Sprintf("beeline-cluster-test-%d", os.Getpid()))

// binary builds beeline, once.
var binary = sync.OnceValues(func() (string, error) { return Build(context.Background(), built) })

func startRedis(t *testing.T) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), t.TempDir())
	needRedis(t, err)
	t.Cleanup(r.Kill)
	return r
}

func startNode(t *testing.T, r *Redis, env ...string) *Node {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	n, err := StartNode(t.Context(), NodeOptions{Binary: path, Name: "n1", RedisURL: r.URL, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Kill)
	return n
}

func client(t *testing.T, r *Redis) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: r.Addr, DisableIdentity: true, MaxRetries: -1,
		DialTimeout: soon, ReadTimeout: soon, WriteTimeout: soon, PoolTimeout: soon})
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisRestartsEmptyWhereItWas(t *testing.T) {
	r := startRedis(t)
	if err := client(t, r).Set(t.Context(), "a", "b", 0).Err(); err != nil {
		t.Fatal(err)
	}
	pid := r.PID()
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.PID() == pid || r.Version == "" {
		t.Errorf("process %d again, version %q", r.PID(), r.Version)
	}
	if err := client(t, r).Get(t.Context(), "a").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the key is %v after the restart, want none", err)
	}
}

func TestWrongArgumentsOfRedisAreAnError(t *testing.T) {
	startRedis(t)
	if _, err := StartRedis(t.Context(), t.TempDir(), "--no-such-option", "1"); !errors.Is(err, errEndedAtOnce) {
		t.Errorf("error %v", err)
	}
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

func TestStopInsists(t *testing.T) {
	r := startRedis(t)
	if err := r.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Stop(ctx)
	<-r.Exited()
}

func TestNodeThatCannotStartSaysWhy(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	_, err = StartNode(t.Context(), NodeOptions{Binary: path, Name: "n1", RedisURL: startRedis(t).URL,
		Env: []string{"BEELINE_DELIVERY=carrier-pigeon"}})
	if !errors.Is(err, errEndedAtOnce) || !strings.Contains(err.Error(), "carrier-pigeon") {
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
