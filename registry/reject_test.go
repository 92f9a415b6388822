package registry

import (
	"errors"
	"testing"

	"github.com/beeline-ws/beeline/registry/redistest"
)

// A client whose first session lives is refused at once, also while another master
// than his has lost its data.
func TestRejectedAtOnceWhileAnotherMasterIsUnsettled(t *testing.T) {
	s := sharded(redistest.StartOwnCluster(t))
	opts := Options{Heartbeat: calm}
	a, b := startNode(t, s, "a", opts).under(Reject), startNode(t, s, "b", opts).under(Reject)
	a.eventuallySettled("alice")
	b.eventuallySettled("alice")
	a.claim("alice")
	a.keepBeating()
	b.keepBeating()
	quietNode(t, s, "silent", opts) // it subscribes, and never says that it has verified
	own, err := b.masters.tag(t.Context(), b.keys.Address("alice"))
	if err != nil {
		t.Fatal(err)
	}
	tags, err := b.masters.find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range tags {
		if tag != own {
			b.rdb.Del(t.Context(), b.keys.Epoch(tag))
		}
	}
	eventually(t, func() bool { return !b.AllSettled() }, func() string { return "b still is settled" })
	b.wantSettled("alice", true)
	if _, err := b.claimFor(testTime, new(Lease), "alice"); !errors.Is(err, ErrHeld) {
		t.Errorf("the second session is refused with %v, want %v", err, ErrHeld)
	}
	b.wantSettled("alice", true)
	if b.AllSettled() {
		t.Error("the other masters have settled meanwhile: nothing was tested")
	}
}
