package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// A sick Redis: newcomers are refused with a reason, those who are here keep what
// needs no Redis, and all is well again when Redis is.
func TestSickRedis(t *testing.T) {
	for name, illness := range map[string]struct{ begin, end []any }{
		"out of memory": {[]any{"config", "set", "maxmemory", "1"}, []any{"config", "set", "maxmemory", "0"}},
		"read-only":     {[]any{"replicaof", "127.0.0.1", "1"}, []any{"replicaof", "no", "one"}},
		"answers nothing": {
			[]any{"client", "pause", "600000", "ALL"}, nil, // ended by Restart: CLIENT UNPAUSE would not be read either
		},
		"answers errors": {
			[]any{"acl", "setuser", "default", "-evalsha", "-eval", "-hgetall"}, []any{"acl", "setuser", "default", "+@all"},
		},
	} {
		t.Run(name, func(t *testing.T) { checkSickRedis(t, illness.begin, illness.end) })
	}
}

func checkSickRedis(t *testing.T, begin, end []any) {
	server := redistest.StartOwn(t)
	server.AwaitUptime()
	n1 := startNode(t, server, "n1", "BEELINE_HANDSHAKE_TIMEOUT=3s", "BEELINE_MESSAGE_TIMEOUT=500ms")
	alice := n1.connect("alice")
	c := server.Client(t)
	do(t, c, begin)
	if _, err := tryConnect(t, n1.url, "bob"); err == nil || !strings.Contains(err.Error(), "HTTP status 503") {
		t.Errorf("connecting: %v, want HTTP status 503", err)
	}
	alice.say("C4", `"anybody?"`)
	if f := alice.want("receipt"); f.Outcome == "delivered" {
		t.Error("a message to nobody was delivered")
	}
	if n1.status("/healthz") != http.StatusOK {
		t.Error("liveness depends on Redis")
	}
	if end == nil {
		server.Restart()
	} else {
		do(t, c, end)
	}
	n1.until("it is ready again", func() bool { return n1.status("/readyz") == http.StatusOK })
	bob := n1.connect("bob")
	alice.learns("bob", `"well again"`, "delivered")
	bob.wantMessage("alice", `"well again"`)
}

func do(t *testing.T, c *redis.Client, command []any) {
	t.Helper()
	if err := c.Do(t.Context(), command...).Err(); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// documentedUser returns the command of docs/redis.md that makes a user, for the keys and
// channels of prefix.
func documentedUser(t *testing.T, name, prefix string) (command []any) {
	t.Helper()
	text, err := os.ReadFile("../../docs/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^    (ACL SETUSER ` + name + ` .*\n(?:      .*\n)*)`).FindSubmatch(text)
	if block == nil {
		t.Fatalf("docs/redis.md has no ACL SETUSER %s", name)
	}
	for _, word := range strings.Fields(string(block[1])) {
		command = append(command, strings.ReplaceAll(word, "beeline:", prefix+":"))
	}
	return command
}

// refusals returns what Redis has not let a user do.
func refusals(t *testing.T, c *redis.Client) []*redis.ACLLogEntry {
	t.Helper()
	log, err := c.ACLLog(t.Context(), 100).Result()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// A node's user in Redis needs no more rights than are documented.
func TestDocumentedRightsSuffice(t *testing.T) {
	t.Run("standalone", func(t *testing.T) {
		server := redistest.StartOwn(t)
		checkRights(t, "redis://", server)
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartOwnCluster(t)
		checkRights(t, "redis+cluster://", cluster.Servers...)
	})
}

func checkRights(t *testing.T, scheme string, servers ...*redistest.Server) {
	for _, s := range servers {
		do(t, s.Client(t), documentedUser(t, "beeline", s.Prefix))
	}
	user := "BEELINE_REDIS_URL=" + scheme + "beeline:PASSWORD@" + servers[0].Addr
	for _, delivery := range []string{"broadcast", "subscribe", "targeted"} {
		n1 := startNode(t, servers[0], "n1", user, "BEELINE_DELIVERY="+delivery)
		n2 := startNode(t, servers[0], "n2", user, "BEELINE_DELIVERY="+delivery)
		alice, bob := n1.connect("alice"), n2.connect("bob")
		alice.wantOutcome("bob", `"hello"`, "delivered")
		bob.wantMessage("alice", `"hello"`)
		n2.kill()
		if delivery == "targeted" { // its entry is pruned
			alice.learns("bob", `"are you there?"`, "offline")
		}
		n1.kill()
	}
	for _, s := range servers {
		for _, r := range refusals(t, s.Client(t)) {
			if r.Object == "config|get" {
				continue // of use, and documented as not needed
			}
			t.Errorf("%s: refused %s %s (%s)", s.Addr, r.Reason, r.Object, r.Context)
		}
	}
}
