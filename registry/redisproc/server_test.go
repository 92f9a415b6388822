//go:build unix

package redisproc

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redisproc/child"
)

func needRedis(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrNoRedis) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startRedis(t *testing.T) *Server {
	t.Helper()
	r, err := Start(t.Context(), t.TempDir())
	needRedis(t, err)
	t.Cleanup(r.Kill)
	return r
}

func client(t *testing.T, r *Server) *redis.Client {
	c := r.client()
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisRestartsEmptyWhereItWas(t *testing.T) {
	r := startRedis(t)
	must(t, client(t, r).Set(t.Context(), "a", "b", 0).Err())
	if _, err := r.Snapshot(t.Context()); err != nil { // leaves a file in its directory
		t.Fatal(err)
	}
	pid := r.PID()
	must(t, r.Restart(t.Context()))
	if r.PID() == pid || r.Version == "" {
		t.Errorf("process %d again, version %q", r.PID(), r.Version)
	}
	if err := client(t, r).Get(t.Context(), "a").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the key is %v after the restart, want none", err)
	}
}

func TestRedisRestartsFromASnapshot(t *testing.T) {
	r := startRedis(t)
	must(t, client(t, r).Set(t.Context(), "a", "b", 0).Err())
	data, err := r.Snapshot(t.Context())
	must(t, err)
	must(t, r.Restart(t.Context()))
	must(t, r.RestartFrom(t.Context(), data, time.Millisecond))
	if got, err := client(t, r).Get(t.Context(), "a").Result(); err != nil || got != "b" {
		t.Errorf("the key is %q, %v", got, err)
	}
}

func TestWrongArgumentsOfRedisAreAnError(t *testing.T) {
	startRedis(t)
	if _, err := Start(t.Context(), t.TempDir(), "--no-such-option", "1"); !errors.Is(err, child.ErrEndedAtOnce) {
		t.Errorf("error %v", err)
	}
}

func TestStopInsists(t *testing.T) {
	r := startRedis(t)
	must(t, r.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.Stop(ctx)
	<-r.Exited()
}

// A wait ends with its server.
func TestNobodyWaitsForADeadServer(t *testing.T) {
	r := startRedis(t)
	r.Kill()
	if err := r.AwaitUptime(t.Context()); !errors.Is(err, child.ErrEndedAtOnce) {
		t.Errorf("error %v", err)
	}
}

func TestReplicaFollowsAndIsPromoted(t *testing.T) {
	master := startRedis(t)
	must(t, client(t, master).Set(t.Context(), "a", "b", 0).Err())
	replica, err := StartReplica(t.Context(), t.TempDir(), master)
	must(t, err)
	t.Cleanup(replica.Kill)
	c := client(t, replica)
	if got, err := c.Get(t.Context(), "a").Result(); err != nil || got != "b" {
		t.Errorf("the key is %q, %v", got, err)
	}
	must(t, replica.Promote(t.Context()))
	must(t, replica.AwaitMaster(t.Context()))
	must(t, c.Set(t.Context(), "a", "c", 0).Err())
	must(t, replica.Follow(t.Context(), master))
	must(t, replica.Await(t.Context(), "it is in step again", inStep))
	if got, err := c.Get(t.Context(), "a").Result(); err != nil || got != "b" {
		t.Errorf("the key is %q, %v", got, err)
	}
}

func TestServerWantsCertificates(t *testing.T) {
	s, err := StartTLS(t.Context(), t.TempDir(), "127.0.0.1")
	if errors.Is(err, ErrNoTLS) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	needRedis(t, err)
	t.Cleanup(s.Kill)
	dir := t.TempDir()
	config := clientTLS(t, s, dir+"/client.pem", dir+"/client.key")
	c := redis.NewClient(&redis.Options{Addr: s.TLSAddr, TLSConfig: config, MaxRetries: -1, DialerRetries: 1})
	defer c.Close()
	must(t, c.Ping(t.Context()).Err())
	config = config.Clone()
	config.Certificates = nil
	stranger := redis.NewClient(&redis.Options{Addr: s.TLSAddr, TLSConfig: config, MaxRetries: -1, DialerRetries: 1})
	defer stranger.Close()
	if err := stranger.Ping(t.Context()).Err(); err == nil {
		t.Error("a client without a certificate is served")
	}
}
