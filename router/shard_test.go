package router

import (
	"fmt"
	"strconv"
	"testing"
)

// An address always meets the same shard; many addresses meet them all, about equally.
func TestAddressesAreSpreadOverShards(t *testing.T) {
	all := make(shards, maxShards)
	for i := range all {
		all[i] = new(shard)
	}
	const addresses = 1000 * maxShards
	met := make(map[*shard]int)
	for i := range addresses {
		address := "client" + strconv.Itoa(i)
		s := all.of(address)
		met[s]++
		if all.of(address) != s {
			t.Fatalf("%s has two shards", address)
		}
	}
	for i, s := range all {
		if n := met[s]; n < addresses/maxShards/2 || n > 2*addresses/maxShards {
			t.Errorf("shard %d has %d of %d addresses", i, n, addresses)
		}
	}
}

// However the owner cache is divided, all shards together keep no more than it allows.
func TestShardsShareTheOwnerCache(t *testing.T) {
	for _, c := range []struct{ cache, shards int }{
		{-1, maxShards}, {0, 1}, {1, 1}, {shardRoutes, 1}, {2*shardRoutes + 1, 2}, {1 << 16, maxShards}, {1 << 20, maxShards},
	} {
		all := newShards(new(Router), c.cache)
		if len(all) != c.shards {
			t.Errorf("for %d owners there are %d shards, want %d", c.cache, len(all), c.shards)
		}
		kept := 0
		for _, s := range all {
			kept += max(0, s.idleRoutes.limit)
		}
		if kept > max(0, c.cache) || c.cache > 0 && kept < c.cache-len(all) {
			t.Errorf("%d shards keep %d owners, want at most %d and hardly less", len(all), kept, c.cache)
		}
	}
}

// The messages of one sender to one address keep their order on whatever shard it lies, and
// one sender reaches addresses of all shards.
func TestMessagesKeepTheirOrderOnEveryShard(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	var receivers []*testSession
	met := make(map[*shard]bool)
	for i := 0; len(met) < len(n.shards); i++ {
		client := fmt.Sprint("client", i)
		if s := n.shards.of(client); !met[s] {
			met[s] = true
			receivers = append(receivers, c.node(1).connect(client))
		}
	}
	const messages = 20
	var want []string
	for i := range messages {
		want = append(want, strconv.Itoa(i))
		for _, s := range receivers {
			n.Router.Send(Message{From: "sender", To: s.client, Data: []byte(want[i])}, nil)
		}
	}
	n.Flush()
	for _, s := range receivers {
		s.wantGot(want...)
	}
	wantNothingPending(t, c)
}

// A message that is to be confirmed, and whose receiver's sessions here are just closing, is
// sent to the others all the same.
func TestConfirmedMessageGoesOnWhenItsSessionsClose(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	closing := newTestSession(n, "bob")
	closing.evicted = ErrReplaced // it takes nothing
	n.join("bob", closing)
	out := n.confirmed("bob", "1")
	until(t, "it waits for bob", func() bool {
		rt, unlock := n.lockRoute("bob")
		defer unlock()
		return rt != nil
	})
	bob := c.node(1).connect("bob")
	closing.leave()
	bob.wantGot("1")
	c.node(1).Confirm("bob", bob.last.ID)
	c.node(1).Flush()
	n.want(out, Confirmed)
	wantNothingPending(t, c)
}

// What gathers while all shards are locked, as when a node has died, is done when none is any
// more: a sender's callback may send to whatever address.
func TestNothingIsDoneWhileAnyShardIsLocked(t *testing.T) {
	all := newShards(new(Router), -1)
	all.lockAll()
	called := 0
	for _, s := range all {
		s.calls = append(s.calls, call{done: func(MessageID, Outcome) {
			called++
			for i, other := range all {
				if !other.mu.TryLock() {
					t.Fatalf("shard %d is locked while a callback runs", i)
				}
				other.mu.Unlock()
			}
		}})
	}
	all.unlockAll()
	if called != len(all) {
		t.Errorf("%d of %d callbacks were run", called, len(all))
	}
}
