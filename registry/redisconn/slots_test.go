package redisconn

import (
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// Whichever server tells who has the slots, and in which order, it is no move.
func TestCalmClusterMovesNoSlot(t *testing.T) {
	t.Parallel()
	client, err := Connect(patient(redistest.StartCluster(t).URL()))
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	c := newTestClient(client)
	for range 30 {
		_, err := c.MasterAddrs(t.Context())
		must(t, err)
		must(t, c.write(t.Context()))
	}
	if seen := c.SlotShifts(); seen != (SlotShifts{}) || c.slots.owners == "" {
		t.Errorf("noticed %+v, slots known: %v", seen, c.slots.owners != "")
	}
}
