package registry

import (
	"testing"

	"github.com/beeline-ws/beeline/registry/redisconn"
	"github.com/beeline-ws/beeline/registry/redistest"
)

// moving is a Cluster whose slot of alice, whom b owns, is about to go from one master to
// another; a has asked for her before.
type moving struct {
	*redistest.Cluster
	a, b     *testNode
	atB      *Lease
	slot     int
	from, to *redistest.Server
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{Cluster: redistest.StartOwnCluster(t)}
	opts := Options{Heartbeat: calm}
	m.a, m.b = startNode(t, sharded(m.Cluster), "a", opts), startNode(t, sharded(m.Cluster), "b", opts)
	m.a.eventuallySettled("alice")
	m.atB = m.b.claim("alice")
	m.a.wantOwners("alice", m.b.owner(m.atB))
	m.from, m.slot = m.MasterOf(m.a.keys.Address("alice"))
	m.to = m.Servers[0]
	if m.to == m.from {
		m.to = m.Servers[1]
	}
	return m
}

func (m *moving) migrate(between func()) { m.MigrateSlot(m.slot, m.to, between) }

// loses empties a master. Until b has noticed, it knows nothing of alice.
func (m *moving) loses(s *redistest.Server) {
	m.a.t.Helper()
	must(m.a.t, s.Client(m.a.t).FlushAll(m.a.t.Context()).Err())
	m.a.wantOwners("alice")
}

// wantNobodyFooled says that alice is neither offline nor claimed as if she were, until
// b has claimed her again.
func (m *moving) wantNobodyFooled() {
	m.a.t.Helper()
	m.a.wantSettled("alice", false)
	m.a.wantClaimWaits("alice")
}

// wantRecovery says that all is well in the end.
func (m *moving) wantRecovery() {
	m.a.t.Helper()
	m.a.keepBeating()
	m.b.keepBeating()
	receive(m.a.t, m.b.restored, "b claims alice again")
	m.a.eventuallySettled("alice")
	if others := m.a.claimInto(new(Lease), "alice"); len(others) != 1 || others[0] != m.b.owner(m.atB) {
		m.a.t.Errorf("others: %v, want b's", others)
	}
}

// wantRest says that a asks one master again for what that one holds: after the move it has
// read the epochs of all, and found them settled.
func (m *moving) wantRest() {
	m.a.t.Helper()
	eventually(m.a.t, func() bool {
		m.a.passTime()
		_, err := m.a.ConfirmAbsent(m.a.t.Context(), "alice")
		return err == nil && m.a.slotsRested(m.a.redis.SlotShifts())
	}, func() string { return "all masters are asked still" })
}

// Half-way the old master sends who asks for alice to the new one. Only the new one's
// epoch tells that it has lost her.
func TestEpochOfTheMasterThatASlotGoesTo(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.migrate(func() {
		m.loses(m.to)
		m.wantNobodyFooled()
		m.wantRecovery()
	})
}

// Nobody has told a that the slot has moved when its claim goes out.
func TestClaimThatIsSentToTheOldMasterOfASlot(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.migrate(func() {})
	must(t, m.to.Client(t).FlushAll(t.Context()).Err())
	m.a.wantClaimWaits("alice")
	m.wantRecovery()
	m.wantRest()
}

// The slot comes from a master that has lost alice, and the new one has lost nothing.
func TestEpochOfTheMasterThatASlotComesFrom(t *testing.T) {
	t.Parallel()
	m := newMoving(t)
	m.loses(m.from)
	m.migrate(func() {})
	_, err := m.a.masters.find(t.Context()) // learns who has the slots
	must(t, err)
	m.wantNobodyFooled()
	m.wantRecovery()
	m.wantRest()
}

// Whichever server tells who has the slots: where none moves, an address's own master is
// enough.
func TestNothingMovesInACalmCluster(t *testing.T) {
	t.Parallel()
	a := startNode(t, sharded(redistest.StartCluster(t)), "a", Options{})
	for range 30 {
		_, err := a.masters.find(t.Context())
		must(t, err)
	}
	claimMany(a, 100)
	a.wantSettled("alice", true)
	if seen := a.redis.SlotShifts(); seen != (redisconn.SlotShifts{}) {
		t.Errorf("noticed %+v", seen)
	}
}
