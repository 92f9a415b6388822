package registry

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// A Redis that still loads its data answers nothing, and says so: nobody is claimed,
// offline or dead meanwhile. What it then knows of is as old as its snapshot.
func TestLoadingRedisProvesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	a := startNode(t, single(s), "a", Options{Heartbeat: 500 * time.Millisecond})
	alice := a.claim("alice")
	for i := range 400 { // loads for 40 s, if it is let to
		must(t, a.rdb.Set(t.Context(), strconv.Itoa(i), redistest.Noise(1<<10), 0).Err())
	}
	snapshot := s.Snapshot()
	bob := a.claim("bob")
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		s.RestartFrom(snapshot, 100*time.Millisecond) // for each key
	}()
	client := s.Client(t)
	loads := func() bool { return redis.HasErrorPrefix(client.Ping(t.Context()).Err(), "LOADING") }
	eventually(t, loads, func() string { return "Redis does not load" })

	_, lookup := a.Lookup(t.Context(), "bob")
	settled, _ := a.ConfirmAbsent(t.Context(), "bob")
	dead, _ := a.ConfirmDead(t.Context(), "a stranger")
	_, claim := a.claimFor(time.Second, new(Lease), "carol")
	if !loads() {
		t.Fatal("Redis has loaded its data before it was asked")
	}
	if lookup == nil || settled || dead || claim == nil {
		t.Errorf("lookup: %v, settled: %v, dead: %v, claim: %v; want errors and nothing proved", lookup, settled, dead, claim)
	}

	must(t, client.ConfigSet(t.Context(), "key-load-delay", "0").Err())
	<-loaded
	a.keepBeating()
	receive(t, a.lost, "the restart is noticed")
	a.eventuallySettled("bob")
	a.wantOwners("alice", a.owner(alice))
	a.wantOwners("bob", a.owner(bob))
	a.wantOwners("carol")
}
