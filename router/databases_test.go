package router

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// Two clusters in one Redis, with one prefix, in databases of their own: each has its own
// client of that name, and nothing of the other. Redis has one set of channels for all
// databases, so the names of channels tell them apart.
func TestClustersInTwoDatabasesHearNothingOfEachOther(t *testing.T) {
	s := redistest.StartOwn(t)
	s.AwaitUptime()
	inDatabase := func(db int) *cluster {
		dial := func() redis.UniversalClient {
			client := redis.NewClient(&redis.Options{Addr: s.Addr, DB: db, DisableIdentity: true, ContextTimeoutEnabled: true})
			t.Cleanup(func() { _ = client.Close() })
			return client
		}
		return clusterOn(t, relaxedHeartbeat, s, s.Prefix, dial, 2, nil)
	}
	first := inDatabase(0)
	bob := first.node(1).connect("bob")
	// The witnesses of an epoch are the subscribers: with those of the other
	// database among them, which have no lease in this one, the second cluster
	// would wait for two lives of a node lease, 6 minutes, before it settles.
	second := inDatabase(1)
	other := second.node(1).connect("bob")

	first.node(0).wantOutcome("bob", `"for the first"`, Delivered)
	second.node(0).wantOutcome("bob", `"for the second"`, Delivered)
	bob.wantGot(`"for the first"`)
	other.wantGot(`"for the second"`)
	other.leave()
	second.node(0).wantOutcome("bob", `"for nobody"`, Offline)
}
