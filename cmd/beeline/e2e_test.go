package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/cmd/internal/client"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// The five stories of docs/design.md, each told by nodes that are processes of
// their own, a real Redis and real sockets.

// patience bounds every wait. It is reached only by a failure.
const patience = 30 * time.Second

// nodeProcess is one `beeline serve`.
type nodeProcess struct {
	t          *testing.T
	cmd        *exec.Cmd
	url, admin string
	log        *strings.Builder
}

// startNode runs a node of a cluster around server. Its heartbeat is short, so
// that what takes heartbeats is soon seen.
func startNode(t *testing.T, server *redistest.Server, name string, settings ...string) *nodeProcess {
	t.Helper()
	ports := freePorts(t, 2)
	n := &nodeProcess{t: t, url: "ws://" + ports[0] + "/ws", admin: "http://" + ports[1], log: new(strings.Builder)}
	n.cmd = exec.Command(os.Args[0], "serve")
	n.cmd.Env = append([]string{
		mainVariable + "=1", "PATH=" + os.Getenv("PATH"),
		"BEELINE_REDIS_URL=" + server.URL(), "BEELINE_KEY_PREFIX=" + server.Prefix, "BEELINE_NODE_NAME=" + name,
		"BEELINE_LISTEN=" + ports[0], "BEELINE_ADMIN_LISTEN=" + ports[1],
		"BEELINE_HEARTBEAT=300ms", "BEELINE_DRAIN_PERIOD=200ms",
	}, settings...)
	n.cmd.Stderr = n.log
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.kill)
	n.await("it is ready", func() bool { return n.status("/readyz") == http.StatusOK })
	return n
}

// freePorts returns addresses that nobody listens on now.
func freePorts(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all are taken, so that they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

// kill ends the process as a crash would.
func (n *nodeProcess) kill() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Kill()
		_ = n.cmd.Wait()
	}
	if n.t.Failed() && n.log.Len() > 0 {
		n.t.Logf("%s logged:\n%s", n.url, n.log)
	}
}

func (n *nodeProcess) status(path string) int {
	resp, err := http.Get(n.admin + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (n *nodeProcess) await(what string, ok func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: never: %s", n.url, what)
		}
	}
}

// person is a client that reads all the time, as an application would.
type person struct {
	*client.Client
	t      *testing.T
	frames chan client.Frame
	ended  chan error
	said   int // messages, each of which has an id of its own
}

func (n *nodeProcess) connect(name string) *person {
	n.t.Helper()
	p, err := n.tryConnect(name)
	if err != nil {
		n.t.Fatalf("connecting %s: %v", name, err)
	}
	return p
}

func (n *nodeProcess) tryConnect(name string) (*person, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, n.url, name)
	if err != nil {
		return nil, err
	}
	p := &person{Client: c, t: n.t, frames: make(chan client.Frame, 1000), ended: make(chan error, 1)}
	go p.read()
	n.t.Cleanup(func() { p.Close(); <-p.ended })
	return p, nil
}

func (p *person) read() {
	defer close(p.ended)
	for {
		f, err := p.Next()
		if err != nil {
			p.ended <- err
			return
		}
		p.frames <- f
	}
}

// want returns the next frame, which must be of a type.
func (p *person) want(kind string) client.Frame {
	p.t.Helper()
	select {
	case f := <-p.frames:
		if f.Type != kind {
			p.t.Fatalf("%s got %+v, want a %s", p.Name, f, kind)
		}
		return f
	case <-time.After(patience):
		p.t.Fatalf("%s never got a %s", p.Name, kind)
	}
	return client.Frame{}
}

func (p *person) wantMessage(from, data string) {
	p.t.Helper()
	if f := p.want("message"); f.From != from || string(f.Data) != data {
		p.t.Errorf("%s got %s from %s, want %s from %s", p.Name, f.Data, f.From, data, from)
	}
}

func (p *person) say(to, data string) {
	p.t.Helper()
	p.said++
	if err := p.Send(to, p.Session+strconv.Itoa(p.said), json.RawMessage(data)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) wantOutcome(to, data, outcome string) {
	p.t.Helper()
	p.say(to, data)
	if f := p.want("receipt"); f.Outcome != outcome {
		p.t.Errorf("%s was told %q about %s, want %q", p.Name, f.Outcome, to, outcome)
	}
}

func TestStoryConnect(t *testing.T) {
	server := redistest.StartOwn(t)
	n := startNode(t, server, "n1")
	alice := n.connect("alice")
	if alice.Session == "" || !strings.HasPrefix(alice.Node, "n1-") {
		t.Errorf("welcome: session %q, node %q", alice.Session, alice.Node)
	}
	key := server.Prefix + ":addr:{alice}"
	c := server.Client(t)
	if owners := c.HGetAll(t.Context(), key).Val(); owners[alice.Node] == "" {
		t.Errorf("the registry names %v as alice's owners, want %s", owners, alice.Node)
	}
	if ttl := c.PTTL(t.Context(), key).Val(); ttl <= 0 { // a node that dies must not own for ever (LiveKit)
		t.Errorf("alice's entry lives %v", ttl)
	}
	server.Kill()
	if _, err := n.tryConnect("bob"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("connecting without Redis: %v, want HTTP status 503", err)
	}
	if n.status("/healthz") != http.StatusOK {
		t.Error("liveness depends on Redis")
	}
	n.await("it says that it is not ready", func() bool { return n.status("/readyz") == http.StatusServiceUnavailable })
}

func TestStoryMessage(t *testing.T) {
	for _, delivery := range []string{"targeted", "broadcast", "subscribe"} {
		t.Run(delivery, func(t *testing.T) {
			server := redistest.Start(t)
			n1 := startNode(t, server, "n1", "BEELINE_DELIVERY="+delivery)
			n2 := startNode(t, server, "n2", "BEELINE_DELIVERY="+delivery)
			n3 := startNode(t, server, "n3", "BEELINE_DELIVERY="+delivery)
			c1, c2, c3 := n1.connect("C1"), n2.connect("C2"), n3.connect("C3")
			c1.wantOutcome("C3", `"across"`, "delivered")
			c3.wantMessage("C1", `"across"`)
			c2.say("C2", `"to myself"`)
			c2.wantBoth("C2", `"to myself"`)
			c1.wantOutcome("C4", `"nobody"`, "offline")
			again := n1.connect("C3")
			c2.wantOutcome("C3", `{"to":"both"}`, "delivered")
			c3.wantMessage("C2", `{"to":"both"}`)
			again.wantMessage("C2", `{"to":"both"}`)
		})
	}
}

func TestOwnerCacheIsASetting(t *testing.T) {
	server := redistest.Start(t)
	bob := startNode(t, server, "n2").connect("bob")
	for setting, spared := range map[string]bool{"": true, "0": false} {
		n1 := startNode(t, server, "n1", "BEELINE_OWNER_CACHE="+setting)
		alice := n1.connect("alice" + setting)
		for range 3 {
			alice.wantOutcome("bob", `"hello"`, "delivered")
			bob.wantMessage(alice.Name, `"hello"`)
		}
		if hits := n1.metric("beeline_owner_cache_hits_total"); hits == "" || (hits != "0") != spared {
			t.Errorf("BEELINE_OWNER_CACHE=%s: %q messages without a lookup", setting, hits)
		}
	}
}

// metric returns the value of a series without labels.
func (n *nodeProcess) metric(name string) string {
	n.t.Helper()
	resp, err := http.Get(n.admin + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	return ""
}

// wantBoth takes a message to oneself and its receipt, in either order.
func (p *person) wantBoth(from, data string) {
	p.t.Helper()
	types := make(map[string]client.Frame)
	for range 2 {
		select {
		case f := <-p.frames:
			types[f.Type] = f
		case <-time.After(patience):
			p.t.Fatalf("%s got only %v", p.Name, types)
		}
	}
	if m := types["message"]; m.From != from || string(m.Data) != data || types["receipt"].Outcome != "delivered" {
		p.t.Errorf("%s got %+v", p.Name, types)
	}
}

func TestStoryHeartbeat(t *testing.T) {
	server := redistest.StartOwn(t)
	server.AwaitUptime()
	n1, n2 := startNode(t, server, "n1"), startNode(t, server, "n2")
	alice, bob := n1.connect("alice"), n2.connect("bob")
	for what, disturb := range map[string]func(){
		"flushed":   func() { server.Client(t).FlushAll(t.Context()) },
		"restarted": server.Restart,
		"away for longer than the TTLs": func() {
			server.Kill()
			n1.await("it is not ready", func() bool { return n1.status("/readyz") != http.StatusOK })
			time.Sleep(3 * 300 * time.Millisecond) // the node leases' TTL
			server.Restart()
		},
	} {
		disturb()
		n1.await("bob is reached after Redis was "+what, func() bool {
			alice.say("bob", `"still there?"`)
			f := alice.want("receipt")
			if f.Outcome == "offline" {
				t.Fatalf("alice was told that bob is offline after Redis was %s", what)
			}
			return f.Outcome == "delivered"
		})
		bob.wantMessage("alice", `"still there?"`)
		c := server.Client(t)
		n1.await("all leases are back", func() bool {
			return c.Exists(t.Context(), server.Prefix+":addr:{alice}", server.Prefix+":addr:{bob}").Val() == 2
		})
	}
}

func TestStoryDisconnect(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := startNode(t, server, "n1"), startNode(t, server, "n2")
	alice := n1.connect("alice")
	for i, to := range []*nodeProcess{n1, n2, n2, n1, n1} {
		old := n2.connect("bob")
		bob := to.connect("bob")
		old.Close() // the late release must not erase bob's newer claim (goim)
		data := fmt.Sprint(i)
		alice.wantOutcome("bob", data, "delivered")
		bob.wantMessage("alice", data)
		bob.Close()
		n1.await("bob is offline", func() bool {
			alice.say("bob", `"gone?"`)
			return alice.want("receipt").Outcome == "offline"
		})
	}
}

func TestStoryDeath(t *testing.T) {
	server := redistest.Start(t)
	n1, n2, n3 := startNode(t, server, "n1"), startNode(t, server, "n2"), startNode(t, server, "n3")
	alice, bob := n1.connect("alice"), n2.connect("bob")
	alice.wantOutcome("bob", "1", "delivered")
	bob.wantMessage("alice", "1")
	n2.kill()
	alice.wantOutcome("bob", "2", "offline")
	again := n3.connect("bob")
	alice.wantOutcome("bob", "3", "delivered")
	again.wantMessage("alice", "3")
}

func TestTerminatedNodeSaysBye(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := startNode(t, server, "n1"), startNode(t, server, "n2")
	alice, bob := n1.connect("alice"), n2.connect("bob")
	if err := n2.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	bob.want("bye")
	if err := <-bob.ended; !strings.Contains(err.Error(), "1001") {
		t.Errorf("bob's connection ended with %v, want code 1001", err)
	}
	if err := n2.cmd.Wait(); err != nil {
		t.Errorf("the node exited with %v", err)
	}
	alice.wantOutcome("bob", "1", "offline")
}
