package router

import (
	"errors"
	"testing"

	"github.com/beeline-ws/beeline/registry"
)

// Redis starts from a snapshot that names a session which has gone: its client may come
// back at once, and who is still there is not to be replaced.
func TestSnapshotRefusesNobodyUnderReject(t *testing.T) {
	c := newOwnCluster(t, 2, func(o *Options) { o.Duplicates, o.MessageTimeout = registry.Reject, patience })
	gone, stays := c.node(1).connect("gone"), c.node(1).connect("stays")
	snapshot := c.redis.Snapshot()
	gone.leave()
	until(t, "it is released", func() bool { return len(c.owners("gone")) == 0 })
	c.redis.RestartFrom(snapshot, 0)
	for _, n := range c.nodes {
		n.heals()
	}
	if len(c.owners("gone")) == 0 {
		t.Fatal("the snapshot does not name the session")
	}
	back := c.node(0).connect("gone")
	c.node(1).wantOutcome("gone", "1", Delivered)
	back.wantGot("1")
	if _, err := c.node(0).tryConnect("stays"); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a second session is refused with %v, want %v", err, ErrDuplicate)
	}
	c.node(0).wantOutcome("stays", "1", Delivered)
	stays.wantGot("1")
}
