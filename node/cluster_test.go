package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// startWhole starts a node with everything on a real Redis. change may be nil.
func startWhole(t *testing.T, redis *redistest.Server, name string, change func(*Options)) *Node {
	t.Helper()
	o := Options{
		Name: name, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", DrainPeriod: -1,
		Redis: redis.Client(t), Prefix: redis.Prefix,
		Heartbeat: 20 * time.Second, MessageTimeout: patience, HandshakeTimeout: patience, // machines stand still now and then
	}
	if change != nil {
		change(&o)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	n.newEngine = testEngine
	return started(t, n)
}

func TestMessageBetweenNodes(t *testing.T) {
	redis := redistest.Start(t)
	a, b := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil)
	alice, bob := connect(t, a.Addr(), "alice"), connect(t, b.Addr(), "bob")
	for i := range 20 {
		alice.send("bob", fmt.Sprint(i), fmt.Sprint(i))
		bob.wantMessage("alice", fmt.Sprint(i))
		alice.wantReceipt(fmt.Sprint(i), "delivered")
	}
	bob.send("alice", `{ "re": true }`, "")
	alice.wantMessage("bob", `{ "re": true }`)
	alice.send("carol", "1", "1")
	alice.wantReceipt("1", "offline")
	wantGet(t, "http://"+a.AdminAddr()+"/readyz", 200, "ready")
}

func TestSessionsOfOneClient(t *testing.T) {
	redis := redistest.Start(t)
	a, b := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil)
	one, two, three := connect(t, a.Addr(), "bob"), connect(t, a.Addr(), "bob"), connect(t, b.Addr(), "bob")
	alice := connect(t, a.Addr(), "alice")
	alice.send("bob", "1", "1")
	for _, c := range []*client{one, two, three} {
		c.wantMessage("alice", "1")
	}
	alice.wantReceipt("1", "delivered")
}

func TestReplaceAndReject(t *testing.T) {
	for rule, check := range map[registry.Duplicates]func(t *testing.T, a, b *Node){
		registry.Replace: func(t *testing.T, a, b *Node) {
			old := connect(t, a.Addr(), "bob")
			connect(t, b.Addr(), "bob").say(`{"type":"ping"}`)
			old.want(ws.OpText, `{"type":"bye","reason":"replaced"`)
			old.wantClose(codeReplaced)
		},
		registry.Reject: func(t *testing.T, a, b *Node) {
			first := connect(t, a.Addr(), "bob")
			second := open(t, b.Addr(), "bob")
			second.want(ws.OpText, `{"type":"bye","reason":"duplicate"`)
			second.wantClose(codeDuplicate)
			first.send("bob", "1", "")
			first.wantMessage("bob", "1")
		},
	} {
		t.Run(string(rule), func(t *testing.T) {
			redis := redistest.Start(t)
			change := func(o *Options) { o.Duplicates = rule }
			check(t, startWhole(t, redis, "a", change), startWhole(t, redis, "b", change))
		})
	}
}

func TestDrainedNodeLeavesTheCluster(t *testing.T) {
	redis := redistest.Start(t)
	a, b := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil)
	alice, bob := connect(t, a.Addr(), "alice"), connect(t, b.Addr(), "bob")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop(t, b)
	}()
	bob.want(ws.OpText, `{"type":"bye","reason":"draining"`)
	bob.wantClose(ws.StatusGoingAway)
	<-stopped
	alice.send("bob", "1", "1")
	alice.wantReceipt("1", "offline")
	again := connect(t, a.Addr(), "bob")
	alice.send("bob", "2", "2")
	again.wantMessage("alice", "2")
}

// While Redis can't be used, sessions stay and are served as far as this node can,
// newcomers are refused, and probes and metrics say what is so.
func TestRedisAway(t *testing.T) {
	away := map[string]struct {
		leave, back  func(*testing.T, *redistest.Server)
		unsubscribed bool // and the node knows it
	}{
		"paused": {
			leave: func(t *testing.T, r *redistest.Server) { r.Pause(); t.Cleanup(r.Resume) },
			back:  func(_ *testing.T, r *redistest.Server) { r.Resume() },
		},
		"gone": {
			leave:        func(_ *testing.T, r *redistest.Server) { r.Kill() },
			back:         func(_ *testing.T, r *redistest.Server) { r.Restart() },
			unsubscribed: true,
		},
		"read-only": {
			leave: func(t *testing.T, r *redistest.Server) { replicaOf(t, r, "127.0.0.1", "1") },
			back:  func(t *testing.T, r *redistest.Server) { replicaOf(t, r, "NO", "ONE") },
		},
	}
	for name, way := range away {
		t.Run(name, func(t *testing.T) {
			redis := redistest.StartOwn(t)
			redis.AwaitUptime()
			n := startWhole(t, redis, "a", func(o *Options) { o.Heartbeat = time.Second })
			alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
			way.leave(t, redis)
			eventually(t, "it is not ready", func() bool { return len(n.unready()) > 0 })
			eventually(t, "its gauge says that it is not subscribed", func() bool {
				return !way.unsubscribed || testutil.ToFloat64(n.metrics.Router.PrivateChannelHears) == 0
			})
			wantGet(t, "http://"+n.AdminAddr()+"/healthz", 200, "ok")
			wantGet(t, "http://"+n.AdminAddr()+"/readyz", 503, "")
			if answer := tryToConnect(t, n, "carol"); !strings.HasPrefix(answer, "HTTP/1.1 503 ") {
				t.Errorf("carol is answered %q", answer)
			}
			alice.send("bob", "0", "0")
			bob.wantMessage("alice", "0")
			alice.wantReceipt("0", "delivered")
			way.back(t, redis)
			eventually(t, "it is ready", func() bool { return len(n.unready()) == 0 })
			alice.send("bob", "1", "1")
			bob.wantMessage("alice", "1")
			alice.wantReceipt("1", "delivered")
			eventually(t, "carol is welcomed", func() bool { // a Redis that was emptied has to settle
				return strings.HasPrefix(tryToConnect(t, n, "carol"), "HTTP/1.1 101 ")
			})
			hears, settled := n.metrics.Router.PrivateChannelHears, n.metrics.Registry.Settled
			eventually(t, "its gauges say that all is well", func() bool {
				return testutil.ToFloat64(hears) == 1 && testutil.ToFloat64(settled) == 1
			})
		})
	}
}

// tryToConnect returns the beginning of the answer.
func tryToConnect(t *testing.T, n *Node, name string) string {
	t.Helper()
	conn := dial(t, n.Addr())
	fmt.Fprint(conn, upgradeHead("/ws?client="+name))
	answer := make([]byte, 100)
	k, _ := conn.Read(answer)
	return string(answer[:k])
}

func replicaOf(t *testing.T, r *redistest.Server, host, port string) {
	t.Helper()
	if err := r.Client(t).ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
}
