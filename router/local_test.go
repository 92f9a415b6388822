package router

import (
	"testing"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/task"
)

// knowledge is a table in which one address has owners that this node may know of.
type knowledge struct {
	r          *Router
	generation *generation
	table      *localAddresses
	join       *pendingJoin
}

// newKnowledge returns a table in which bob's claim, with the token 1, is under way.
func newKnowledge() *knowledge {
	g := new(generation)
	x := &knowledge{
		r: &Router{
			opts:    Options{DuplicatesOf: func(string) registry.Duplicates { return registry.Allow }},
			runtime: task.Real{},
		},
		generation: g, table: newLocalAddresses("n1", g), join: &pendingJoin{address: "bob"},
	}
	x.table.beginLocked(x.join)
	x.join.local.lease.Name("bob", 1)
	return x
}

func (x *knowledge) welcome(t *testing.T) {
	t.Helper()
	if err := x.table.welcome(x.r, x.join, nil); err != nil {
		t.Fatal(err)
	}
}

// alone reports whether bob's messages are delivered here by what this node knows.
func (x *knowledge) alone() bool {
	_, _, ok := x.table.alone("bob")
	return ok
}

// What a claim found out about other owners is old if one of them was heard of while it was
// under way, or if the generation in which it began has ended.
func TestClaimKnowsNothingOfWhatCameMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(*knowledge)
		want      bool
	}{
		{"nothing", func(*knowledge) {}, true},
		{"another node claims", func(x *knowledge) { x.table.claimed("bob") }, false},
		{"the generation ends", func(x *knowledge) { x.generation.end() }, false},
	} {
		x := newKnowledge()
		tc.meanwhile(x)
		x.welcome(t)
		if got := x.alone(); got != tc.want {
			t.Errorf("%s while the claim is under way: the node delivers by itself: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// A lookup tells an owner who else there is, unless something came after it was sent that
// it need not know of.
func TestLookupTellsNothingOfWhatCameMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(*knowledge)
		token     string // in the entry that the lookup found
		want      bool
	}{
		{"nothing", func(*knowledge) {}, "1", true},
		{"another node claims", func(x *knowledge) { x.table.claimed("bob") }, "1", false},
		{"the generation ends", func(x *knowledge) { x.generation.end() }, "1", false},
		{"the entry is of another claim", func(*knowledge) {}, "2", false},
	} {
		x := newKnowledge()
		x.welcome(t)
		x.table.claimed("bob") // by a node that has left again
		if x.alone() {
			t.Fatal("the node delivers by itself though another one has claimed the address")
		}
		asked := x.table.known("bob")
		tc.meanwhile(x)
		x.table.noteOwners("bob", tc.token, x.table.self, asked)
		if got := x.alone(); got != tc.want {
			t.Errorf("%s while the lookup is under way: the node delivers by itself: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// What a node knows of owners counts while its own lease lives.
func TestOwnerWithoutALeaseVouchesForNothing(t *testing.T) {
	x := newKnowledge()
	x.welcome(t)
	x.r.local, x.r.fan = x.table, newFanouts(x.r)
	now := x.r.now()
	if got := x.r.deliverHere(&Message{To: "bob"}, x.table.self, now, now); got != ackStale {
		t.Errorf("a message that was not looked up is answered with %d, want %d", got, ackStale)
	}
}

// A probe that somebody made up, or that comes late, is not the one that is awaited.
func TestOnlyTheAwaitedProbeIsHeard(t *testing.T) {
	r := &Router{probed: task.Real{}.NewSignal()}
	r.awaitedProbe.Store(7)
	for _, probe := range []uint64{6, 7} {
		r.tookProbe(probe)
		if heard := r.heardProbe.Load() == 7; heard != (probe == 7) {
			t.Errorf("after probe %d the awaited one is heard: %v", probe, heard)
		}
	}
}
