package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// The five stories of docs/design.md, each told by nodes that are processes of
// their own, a real Redis and real sockets.

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
	if _, err := tryConnect(t, n.url, "bob"); err == nil || !strings.Contains(err.Error(), "HTTP status 503") {
		t.Errorf("connecting without Redis: %v, want HTTP status 503", err)
	}
	if n.status("/healthz") != http.StatusOK {
		t.Error("liveness depends on Redis")
	}
	n.until("it says that it is not ready", func() bool { return n.status("/readyz") == http.StatusServiceUnavailable })
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
			if delivery != "broadcast" { // which can't know that nobody has it until the deadline
				c1.wantOutcome("C4", `"nobody"`, "offline")
			}
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
			n1.until("it is not ready", func() bool { return n1.status("/readyz") != http.StatusOK })
			time.Sleep(registry.Timing{Heartbeat: shortHeartbeat}.NodeTTL())
			server.Restart()
		},
	} {
		disturb()
		n1.until("bob is reached after Redis was "+what, func() bool {
			alice.say("bob", `"still there?"`)
			f := alice.want("receipt")
			if f.Outcome == "offline" {
				t.Fatalf("alice was told that bob is offline after Redis was %s", what)
			}
			return f.Outcome == "delivered"
		})
		bob.wantMessage("alice", `"still there?"`)
		c := server.Client(t)
		n1.until("all leases are back", func() bool {
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
		n1.until("bob is offline", func() bool {
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
	alice.learns("bob", "2", "offline")
	again := n3.connect("bob")
	alice.wantOutcome("bob", "3", "delivered")
	again.wantMessage("alice", "3")
}

func TestTerminatedNodeSaysBye(t *testing.T) {
	server := redistest.Start(t)
	n1, n2 := startNode(t, server, "n1"), startNode(t, server, "n2")
	alice, bob := n1.connect("alice"), n2.connect("bob")
	n2.signal(syscall.SIGTERM)
	bob.want("bye")
	if err := <-bob.ended; !strings.Contains(err.Error(), "1001") {
		t.Errorf("bob's connection ended with %v, want code 1001", err)
	}
	n2.wantEnd(exitOK)
	alice.wantOutcome("bob", "1", "offline")
}
