package router

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// However many messages with names one client sends, those of others are remembered for
// their time, and so is the client's own last one.
func TestRepeatsOfAnotherClientAreRemembered(t *testing.T) {
	c := newCluster(t, 2, nil)
	n := c.node(0)
	bob := n.connect("bob")
	n.want(n.repeat("ann", "1", "once"), Delivered)
	flood := Message{From: "eve", To: "bob", Data: []byte("x")}
	for i := range 3 * maxRemembered { // delivered to nobody here: only the memory is asked
		flood.contentHash = uint64(i + 1)
		n.dedup.deliverOnce(&flood, func() ackResult { return ackDelivered })
	}
	n.want(n.repeat("ann", "1", "once"), Delivered)
	c.node(1).wantOutcome("bob", "next", Delivered)
	bob.wantGot("once", "next")
}

// A client with half of an equal share loses nothing in its time, and the bound holds.
func TestMemoryOfRepeatsIsShared(t *testing.T) {
	const limit, quiet, each = 1 << 10, 8, 16
	now := time.Unix(1000, 0)
	m := newOutcomeLog(limit)
	of := func(client, i int) fingerprint { return fingerprint(client*1_000_000 + i + 1) }
	for i := range each {
		for client := range quiet {
			m.add(uint64(client), of(client, i), Delivered, now)
		}
	}
	for i := range 10 * limit {
		m.add(uint64(100+i%4), of(100+i%4, i), Delivered, now)
		if len(m.of) > limit {
			t.Fatalf("%d messages are remembered, want at most %d", len(m.of), limit)
		}
	}
	for client := range quiet {
		for i := range each {
			if _, ok := m.outcome(of(client, i)); !ok {
				t.Fatalf("message %d of client %d is forgotten", i, client)
			}
		}
	}
	if len(m.slots) > limit {
		t.Errorf("there are %d slots, want at most %d", len(m.slots), limit)
	}
}

// What is remembered is what was added, less what was too old or too much of one client,
// whatever the order of events.
func TestMemoryOfRepeatsKeepsItsBooks(t *testing.T) {
	const limit = 64
	random := rand.New(rand.NewPCG(1, 2))
	now := time.Unix(1000, 0)
	m := newOutcomeLog(limit)
	for step := range 20_000 {
		key := uint64(random.IntN(12))
		m.add(key, fingerprint(random.IntN(500)+1)<<8|fingerprint(key), Outcome(random.IntN(int(outcomes))), now)
		if step%10 == 0 {
			now = now.Add(time.Duration(random.IntN(4)) * time.Second)
			m.age(now)
		}
		wantBooksKept(t, m)
	}
	for range limit {
		m.age(now.Add(2 * repeatLife))
	}
	if len(m.of) != 0 || len(m.byKey) != 0 {
		t.Errorf("%d messages of %d clients are remembered for too long", len(m.of), len(m.byKey))
	}
}

func wantBooksKept(t *testing.T, m *outcomeLog) {
	t.Helper()
	counts := make(map[*author]int)
	listed := 0
	for i, before := m.oldest, int32(0); i != 0; before, i = i, m.slots[i-1].newer {
		x := m.slots[i-1]
		if m.of[x.fingerprint] != i || x.older != before {
			t.Fatalf("slot %s is not where its message or its neighbour says", strconv.Itoa(int(i)))
		}
		if counts[x.author] == 0 && x.author.first != i {
			t.Fatal("a client's first message is not its oldest")
		}
		counts[x.author]++
		listed++
	}
	if listed != len(m.of) || len(counts) != len(m.byKey) {
		t.Fatalf("%d messages of %d clients are listed, %d of %d found", listed, len(counts), len(m.of), len(m.byKey))
	}
	for a, n := range counts {
		if a.count != n || m.byKey[a.key] != a || !a.countNode.in {
			t.Fatalf("a client with %d messages counts %d", n, a.count)
		}
	}
}
