package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// startWhole starts a node with everything on a real Redis. change may be nil.
func startWhole(t *testing.T, redis *redistest.Server, name string, change func(*Options)) *Node {
	t.Helper()
	o := Options{
		Name: name, Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0", DrainPeriod: -1,
		Redis: redis.Client(t), Prefix: redis.Prefix, Heartbeat: 500 * time.Millisecond,
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

func TestRedisAway(t *testing.T) {
	redis := redistest.StartOwn(t)
	redis.AwaitUptime()
	n := startWhole(t, redis, "a", func(o *Options) { o.HandshakeTimeout = time.Second })
	alice, bob := connect(t, n.Addr(), "alice"), connect(t, n.Addr(), "bob")
	redis.Pause()
	defer redis.Resume()
	eventually(t, "it is not ready", func() bool { return n.health() != nil })
	wantGet(t, "http://"+n.AdminAddr()+"/healthz", 200, "ok")
	wantGet(t, "http://"+n.AdminAddr()+"/readyz", 503, "")
	conn := dial(t, n.Addr())
	fmt.Fprint(conn, upgradeHead("/ws?client=carol"))
	answer := make([]byte, 100)
	k, _ := conn.Read(answer)
	if !strings.HasPrefix(string(answer[:k]), "HTTP/1.1 503 ") {
		t.Errorf("carol is answered %q", answer[:k])
	}
	redis.Resume()
	eventually(t, "it is ready", func() bool { return n.health() == nil })
	alice.send("bob", "1", "1")
	bob.wantMessage("alice", "1")
	connect(t, n.Addr(), "carol")
}
