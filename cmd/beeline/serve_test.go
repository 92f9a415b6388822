package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// serving is one `beeline serve` in this process.
type serving struct {
	*background
	env            []string // for tools that ask about it
	clients, admin string   // host:port
}

// nodeSettings are those of a node of the cluster around server, on free ports.
func nodeSettings(server *redistest.Server, name string) []string {
	return append(toolSettings(server), "BEELINE_NODE_NAME="+name,
		"BEELINE_LISTEN=127.0.0.1:0", "BEELINE_ADMIN_LISTEN=127.0.0.1:0", "BEELINE_LOG_FORMAT=json")
}

// toolSettings are those of a tool that asks about the cluster around server.
func toolSettings(server *redistest.Server) []string {
	return []string{"BEELINE_REDIS_URL=" + server.URL(), "BEELINE_KEY_PREFIX=" + server.Prefix}
}

// serve starts a node on free ports and waits until it serves. Nothing of it ends because
// the machine stood still.
func serve(t *testing.T, server *redistest.Server, name string, settings ...string) *serving {
	t.Helper()
	all := append(append(nodeSettings(server, name), "BEELINE_DRAIN_PERIOD=0s", "BEELINE_HEARTBEAT=20s",
		"BEELINE_MESSAGE_TIMEOUT="+patience.String(), "BEELINE_HANDSHAKE_TIMEOUT="+patience.String()), settings...)
	s := &serving{background: stays(t, all, "serve"), env: toolSettings(server)}
	s.clients, s.admin = servedAt(t, s.await(s.errors, "node serves"))
	return s
}

// servedAt finds the addresses in a node's log.
func servedAt(t *testing.T, log string) (clients, admin string) {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Clients, Admin string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("not a line of JSON: %s", line)
		}
		if entry.Msg == "node serves" {
			return entry.Clients, entry.Admin
		}
	}
	t.Fatalf("no addresses in:\n%s", log)
	return "", ""
}

func (s *serving) connect(name string) *person {
	s.t.Helper()
	return connect(s.t, "ws://"+s.clients, name)
}

// Redis, the nodes, their clients and the tools, all by IPv6 without brackets, as a
// manifest puts addresses and ports together.
func TestClusterOverIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this host has no IPv6: %v", err)
	}
	l.Close()
	server := redistest.StartOwn(t, "--bind", "127.0.0.1 ::1")
	_, port, _ := net.SplitHostPort(server.Addr)
	settings := []string{"BEELINE_REDIS_URL=redis://::1:" + port, "BEELINE_LISTEN=::1:0", "BEELINE_ADMIN_LISTEN=::1:0"}
	a, b := serve(t, server, "n1", settings...), serve(t, server, "n2", settings...)
	alice, bob := a.connect("alice"), b.connect("bob")
	alice.wantOutcome("bob", `"over IPv6"`, "delivered")
	bob.wantMessage("alice", `"over IPv6"`)

	clients, admin := strings.NewReplacer("[", "", "]", "").Replace(a.clients), strings.NewReplacer("[", "", "]", "").Replace(a.admin)
	beeline(nil, "health", "--url", "http://"+admin).want(t, exitOK)
	beeline([]string{"BEELINE_ADMIN_LISTEN=" + admin}, "health").want(t, exitOK)
	beeline(nil, "send", "--url", "ws://"+clients, "--from", "me", "bob", `"x"`).want(t, exitOK)
	nodes := beeline(append(settings[:1:1], "BEELINE_KEY_PREFIX="+server.Prefix), "nodes").want(t, exitOK)
	wantContains(t, nodes.out, "http://"+a.clients, "http://"+b.clients)
}

func TestServeUntilSignal(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := serve(t, redistest.Start(t), "n1")
		if err := syscall.Kill(os.Getpid(), signal); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		if s.code != int(exitOK) {
			text, _ := s.errors.read()
			t.Errorf("exit code %d after %v\n%s", s.code, signal, text)
		}
	}
}

func TestServeWaitsForRedisAndStopsMeanwhile(t *testing.T) {
	s := stays(t, []string{"BEELINE_REDIS_URL=redis://127.0.0.1:1", "BEELINE_LISTEN=127.0.0.1:0", "BEELINE_ADMIN_LISTEN=127.0.0.1:0"}, "serve")
	s.await(s.errors, "refused")
	if code := s.end(); code != int(exitOK) {
		t.Errorf("exit code %d", code)
	}
}

func TestServeSaysWhatItCannotListenOn(t *testing.T) {
	server := redistest.Start(t)
	s := serve(t, server, "n1")
	env := append(s.env, "BEELINE_LISTEN="+s.clients, "BEELINE_ADMIN_LISTEN=127.0.0.1:0")
	r := beeline(env, "serve").want(t, exitFailure)
	wantContains(t, r.err, s.clients, "address already in use")
}

// The page belongs to the demo.
func TestServeHasNoPage(t *testing.T) {
	s := serve(t, redistest.Start(t), "n1")
	if status, _, err := get(t.Context(), "http://"+s.clients+"/"); err != nil || status != 404 {
		t.Errorf("GET / answers %d, %v; want 404", status, err)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	server := redistest.Start(t)
	b := startProcess(t, append(nodeSettings(server, "n1"), "BEELINE_DRAIN_PERIOD=24h"), "serve")
	address, admin := servedAt(t, b.await(b.errors, "node serves"))
	for _, name := range []string{"ann", "bob", "cid"} { // their closing is spread over a day
		connect(t, "ws://"+address, name)
	}
	b.signal(syscall.SIGTERM)
	awaitStatus(t, "http://"+admin+"/readyz", 503)
	for ended := false; !ended; { // within a moment of the first it does not count
		_ = b.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-b.ended:
			ended = true
		case <-time.After(repeatTime / 4):
		}
	}
	text, _ := b.errors.read()
	if b.code != int(exitFailure) || !strings.Contains(text, errStoppedAtOnce.Error()) {
		t.Errorf("exit code %d\n%s", b.code, text)
	}
}

func awaitStatus(t *testing.T, url string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for status := 0; status != want; {
		var err error
		if status, _, err = get(ctx, url); err != nil {
			t.Fatal(err)
		}
	}
}
