package node

import (
	"slices"
	"testing"

	"github.com/beeline-ws/beeline/registry/directory"
	"github.com/beeline-ws/beeline/registry/redistest"
)

func TestDirectoryOfACluster(t *testing.T) {
	redis := redistest.Start(t)
	a, b := startWhole(t, redis, "a", nil), startWhole(t, redis, "b", nil)
	one, two, away := connect(t, a.Addr(), "bob"), connect(t, a.Addr(), "bob"), connect(t, b.Addr(), "bob")
	d := a.Directory()
	nodes, err := d.Nodes(t.Context())
	if err != nil || len(nodes) != 2 {
		t.Fatalf("nodes: %v, %v", nodes, err)
	}
	entry, err := d.Lookup(t.Context(), "bob")
	if err != nil || len(entry.Nodes) != 2 || len(entry.Sessions) != 2 {
		t.Fatalf("bob: %v, %v; want two nodes and two sessions", entry, err)
	}
	for _, s := range entry.Sessions {
		if s.Client != "bob" || s.Protocol != "beeline.v1" || s.ID == "" {
			t.Errorf("session: %v", s)
		}
	}
	if nobody, err := d.Lookup(t.Context(), "nobody"); err != nil || nobody.Nodes == nil || len(nobody.Nodes)+len(nobody.Sessions) > 0 {
		t.Errorf("nobody: %v, %v", nobody, err)
	}
	if n := d.Disconnect("bob"); n != 2 {
		t.Errorf("%d sessions disconnected, want 2", n)
	}
	for _, c := range []*client{one, two} {
		c.want(0x1, `{"type":"bye","reason":"disconnected","retry":false}`)
		c.wantClose(codeDisconnected)
	}
	away.say(`{"type":"ping"}`)
	away.want(0x1, `{"type":"pong"}`)
}

func TestDirectoryDisconnectsOneSession(t *testing.T) {
	n := startEcho(t, hello{}, nil)
	c, other := n.greet("alice"), n.greet("alice")
	c.tell("join room-1")
	c.want(0x2, "joined room-1")
	d := directory.New(nil, ownSessions{n.Node})
	own := ownSessions{n.Node}.Sessions("room-1")
	if len(own) != 1 || own[0].Client != "alice" || own[0].Protocol != "echo.v1" {
		t.Fatalf("sessions: %v", own)
	}
	for _, id := range []string{"", "zz", own[0].ID[:22], own[0].ID + "00", "000000000000000000000000"} {
		if d.DisconnectSession(id) {
			t.Errorf("%q was disconnected", id)
		}
	}
	if !d.DisconnectSession(own[0].ID) {
		t.Error("the session is not known")
	}
	c.want(0x2, "bye disconnected")
	c.wantClose(codeDisconnected)
	eventually(t, "it is gone", func() bool { return n.table.size() == 1 && !d.DisconnectSession(own[0].ID) })
	other.tell("still here")
	other.want(0x2, "still here")
	if left := (ownSessions{n.Node}).Sessions("alice"); len(left) != 1 || slices.Contains(left, own[0]) {
		t.Errorf("sessions: %v", left)
	}
}
