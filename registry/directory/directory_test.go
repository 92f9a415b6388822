package directory

import (
	"context"
	"errors"
	"testing"

	"github.com/beeline-ws/beeline/registry"
)

// book is a registry of one address.
type book struct {
	owners   []registry.Owner
	live     map[string]bool
	unproven int // questions before an absence is proved; negative: it never is
	err      error
	delivery string // of the nodes
}

func (b *book) Lookup(context.Context, string) ([]registry.Owner, error) { return b.owners, b.err }

func (b *book) ConfirmAbsent(context.Context, string) (bool, error) {
	b.unproven--
	return b.unproven == -1, nil
}

func (b *book) Node(_ context.Context, id string) (registry.NodeInfo, bool, error) {
	return registry.NodeInfo{ID: id}, b.live[id], nil
}

func (b *book) Nodes(context.Context) ([]registry.NodeInfo, error) {
	return []registry.NodeInfo{{ID: "a", Settings: registry.Settings{Delivery: b.delivery}}}, nil
}

func TestLookupNamesLiveNodesOnly(t *testing.T) {
	d := New(&book{owners: []registry.Owner{{NodeID: "dead"}, {NodeID: "a"}}, live: map[string]bool{"a": true}}, nil)
	entry, err := d.Lookup(t.Context(), "bob")
	if err != nil || len(entry.Nodes) != 1 || entry.Nodes[0].ID != "a" {
		t.Errorf("%v, %v; want a", entry, err)
	}
}

// That nobody owns an address has to be proved.
func TestLookupWaitsUntilAbsenceIsProved(t *testing.T) {
	b := &book{owners: []registry.Owner{{NodeID: "dead"}}, unproven: 2}
	if entry, err := New(b, nil).Lookup(t.Context(), "bob"); err != nil || entry.Nodes == nil || len(entry.Nodes) > 0 {
		t.Errorf("%v, %v; want no nodes", entry, err)
	}
	if b.unproven != -1 {
		t.Errorf("%d questions too few", b.unproven+1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(&book{unproven: -5}, nil).Lookup(ctx, "bob"); !errors.Is(err, ErrUnsettled) {
		t.Errorf("error: %v, want %v", err, ErrUnsettled)
	}
	trouble := errors.New("no Redis")
	if _, err := New(&book{err: trouble}, nil).Lookup(t.Context(), "bob"); !errors.Is(err, trouble) {
		t.Errorf("error: %v, want %v", err, trouble)
	}
}

func TestCommandHasNoSessions(t *testing.T) {
	d := New(&book{}, nil)
	if d.Disconnect("bob") != 0 || d.DisconnectSession("x") {
		t.Error("a session was disconnected")
	}
	if nodes, err := d.Nodes(t.Context()); err != nil || len(nodes) != 1 {
		t.Errorf("nodes: %v, %v", nodes, err)
	}
}

// Under the baselines that nobody owns an address says nothing about who is connected.
func TestLookupSaysWhereNothingIsRecorded(t *testing.T) {
	for delivery, want := range map[string]error{"": nil, "targeted": nil, "broadcast": ErrUnrecorded, "subscribe": ErrUnrecorded} {
		if _, err := New(&book{delivery: delivery}, nil).Lookup(t.Context(), "bob"); !errors.Is(err, want) {
			t.Errorf("under %q: %v, want %v", delivery, err, want)
		}
	}
}
