package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// user makes a user of docs/redis.md and returns its client.
func user(t *testing.T, server *redistest.Server, name string) *redis.Client {
	t.Helper()
	do(t, server.Client(t), documentedUser(t, name, server.Prefix))
	c := redis.NewClient(&redis.Options{Addr: server.Addr, Username: name, Password: "PASSWORD", DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantRefused checks that Redis lets a user do none of the commands.
func wantRefused(t *testing.T, c *redis.Client, commands ...[]any) {
	t.Helper()
	for _, command := range commands {
		if err := c.Do(t.Context(), command...).Err(); err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("%v: %v, want NOPERM", command, err)
		}
	}
}

// A back end with the documented rights finds out who owns a client, sends to it and
// gets its receipt, and can do nothing that is for nodes alone.
func TestDocumentedRightsOfBackends(t *testing.T) {
	server := redistest.StartOwn(t)
	n := startNode(t, server, "n1")
	bob := n.connect("bob")
	shop, keys := user(t, server, "shop"), registry.NewKeys(server.Prefix, nil)
	replies := shop.Subscribe(t.Context(), keys.Reply("shop-1"))
	defer replies.Close()
	if _, err := replies.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	owners, err := shop.HGetAll(t.Context(), keys.Address("bob")).Result()
	if err != nil || len(owners) != 1 {
		t.Fatalf("bob's owners: %v, %v", owners, err)
	}
	for node := range owners {
		if live, err := shop.Exists(t.Context(), keys.Node(node)).Result(); err != nil || live != 1 {
			t.Errorf("%s lives: %d, %v", node, live, err)
		}
		published := func() bool {
			heard, err := shop.Publish(t.Context(), keys.Inlet(node), `{"to":"bob","from":"shop","data":1,"id":"o","reply":"shop-1"}`).Result()
			if err != nil {
				t.Fatal(err)
			}
			return heard == 1
		}
		until(t, "the node takes the message", published)
		wantRefused(t, shop, []any{"PUBLISH", keys.Channel(node), "x"}, []any{"HSET", keys.Node(node), "url", "x"}, []any{"DEL", keys.Node(node)})
	}
	bob.wantMessage("shop", "1")
	m, err := replies.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var receipt struct{ ID, Outcome string }
	if err := json.Unmarshal([]byte(m.Payload), &receipt); err != nil || receipt.ID != "o" || receipt.Outcome != "delivered" {
		t.Errorf("receipt %s", m.Payload)
	}
	if nodes, err := shop.ZRange(t.Context(), keys.Nodes(), 0, -1).Result(); err != nil || len(nodes) != 1 {
		t.Errorf("nodes: %v, %v", nodes, err)
	}
	wantRefused(t, shop, []any{"PUBLISH", keys.Broadcast(), "x"}, []any{"PUBLISH", keys.Client("bob"), "x"},
		[]any{"PUBLISH", keys.Reply("other"), "x"}, []any{"SUBSCRIBE", keys.Reply("other")}, []any{"SUBSCRIBE", keys.Channel("n1")},
		[]any{"PSUBSCRIBE", "*"}, []any{"FLUSHALL"}, []any{"CONFIG", "GET", "*"}, []any{"KEYS", "*"})
}

func TestDocumentedRightsOfWhoLooks(t *testing.T) {
	server := redistest.StartOwn(t)
	n := startNode(t, server, "n1")
	n.connect("bob")
	monitor, keys := user(t, server, "monitor"), registry.NewKeys(server.Prefix, nil)
	nodes, err := monitor.ZRange(t.Context(), keys.Nodes(), 0, -1).Result()
	if err != nil || len(nodes) != 1 {
		t.Fatalf("nodes: %v, %v", nodes, err)
	}
	if lease, err := monitor.HGetAll(t.Context(), keys.Node(nodes[0])).Result(); err != nil || lease["url"] == "" {
		t.Errorf("lease: %v, %v", lease, err)
	}
	if owners, err := monitor.HGetAll(t.Context(), keys.Address("bob")).Result(); err != nil || owners[nodes[0]] == "" {
		t.Errorf("bob's owners: %v, %v", owners, err)
	}
	wantRefused(t, monitor, []any{"HSET", keys.Address("bob"), "x", "1"}, []any{"PUBLISH", keys.Inlet(nodes[0]), "{}"},
		[]any{"SUBSCRIBE", keys.Channel(nodes[0])}, []any{"PUBLISH", keys.Channel(nodes[0]), "x"})
}

// Nodes of one cluster that have a key talk, one that has none or another is not heard,
// and during a change of the key each step's nodes hear those of the step before.
func TestClusterKeyIsChangedWhileNodesTalk(t *testing.T) {
	server := redistest.StartOwn(t)
	const old, next = "k3ZNwMZqPmkFIlourDD5ZZ3cZl4G6F9vtJrHt8IEI74=", "Bq8ljtbapxCvirS+9fuh1C8QeZmx/wkSNu2lY09BJ74="
	steps := []string{old, old + "," + next, next + "," + old, next}
	for i := 1; i < len(steps); i++ {
		one := startNode(t, server, "n1", "BEELINE_CLUSTER_KEY="+steps[i-1])
		two := startNode(t, server, "n2", "BEELINE_CLUSTER_KEY="+steps[i])
		alice, bob := one.connect("alice"), two.connect("bob")
		alice.wantOutcome("bob", `"there"`, "delivered")
		bob.wantMessage("alice", `"there"`)
		bob.wantOutcome("alice", `"and back"`, "delivered")
		alice.wantMessage("bob", `"and back"`)
		one.kill()
		two.kill()
		if err := server.Client(t).FlushAll(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}
