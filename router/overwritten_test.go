package router

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// forgeMany writes more owners of an address than a cluster may have nodes.
func (c *cluster) forgeMany(address string) {
	c.t.Helper()
	const owners = 100_000
	fields := make([]any, 0, 2*owners)
	for i := range owners {
		fields = append(fields, "ghost"+strconv.Itoa(i), strconv.Itoa(i+1))
	}
	if err := c.client.HSet(context.Background(), c.nodes[0].keys.Address(address), fields...).Err(); err != nil {
		c.t.Fatal(err)
	}
}

// What is written over an address's key, or beside its entries, costs its sender no
// memory, and its client gets what was sent once its node has restored the entry.
func TestClientWhoseEntryIsOverwrittenIsReached(t *testing.T) {
	for name, overwrite := range map[string]func(c *cluster, key string){
		"another type": func(c *cluster, key string) {
			c.client.Del(context.Background(), key)
			c.client.Set(context.Background(), key, "x", 0)
		},
		"100,000 owners beside":  func(c *cluster, _ string) { c.forgeMany("bob") },
		"100,000 owners instead": func(c *cluster, key string) { c.client.Del(context.Background(), key); c.forgeMany("bob") },
	} {
		t.Run(name, func(t *testing.T) {
			c := newHastyCluster(t, 2, nil)
			n := c.node(0)
			bob, alice := c.node(1).connect("bob"), c.node(1).connect("alice")
			overwrite(c, n.keys.Address("bob"))
			out := n.sendTo("bob", "x")
			n.wantOutcome("alice", "y", Delivered) // nobody else is held up
			n.want(out, Delivered)
			bob.wantGot("x")
			alice.wantGot("y")
			if peers, troubled := n.linked(); peers > maxStrangers || troubled > 0 {
				t.Errorf("%d peers, %d of them in trouble", peers, troubled)
			}
			if n.unready() != nil {
				until(t, "it is ready again", func() bool { return n.unready() == nil })
			}
		})
	}
}

// The list of nodes is full of names that never lived, with times that are yet to come.
func TestJunkAmongTheNodesCallsNobodyOffline(t *testing.T) {
	c := newHastyCluster(t, 2, nil)
	n := c.node(0)
	bob := c.node(1).connect("bob")
	junk := make([]redis.Z, 100_000)
	for i := range junk {
		junk[i] = redis.Z{Score: float64(time.Now().Add(time.Hour).UnixMilli()), Member: "junk" + strconv.Itoa(i)}
	}
	if err := c.client.ZAdd(t.Context(), n.keys.Nodes(), junk...).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.client.Del(t.Context(), n.keys.Epoch("0")).Err(); err != nil { // all have to vouch for a new one
		t.Fatal(err)
	}
	n.wantOutcome("bob", "1", Delivered)
	c.node(0).connect("newcomer")
	bob.wantGot("1")
	n.wantOutcome("nobody", "x", Offline)
}
