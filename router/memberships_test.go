package router

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/beeline-ws/beeline/registry"
)

// member is a session of several addresses.
type member struct {
	mu      sync.Mutex
	got     []string // addresses of the messages
	evicted []string // addresses
	reason  error    // of the last one
}

func (s *member) Deliver(m *Message) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, strings.Clone(m.To))
	return Delivered
}

func (s *member) Evict(address string, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted, s.reason = append(s.evicted, address), reason
}

func (s *member) evictions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.evicted)
}

func (s *member) wantGot(t *testing.T, want ...string) {
	t.Helper()
	until(t, "everything has arrived", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.got) >= len(want)
	})
	slices.Sort(s.got) // between addresses there is no order
	if !slices.Equal(s.got, want) {
		t.Errorf("messages to %v, want %v", s.got, want)
	}
}

// ruleByName lets addresses that begin with "room-" have any number of sessions.
func ruleByName(others registry.Duplicates) func(*Options) {
	return func(o *Options) {
		o.Duplicates = others
		o.DuplicatesOf = func(address string) registry.Duplicates {
			if strings.HasPrefix(address, "room-") {
				return registry.Allow
			}
			return others
		}
	}
}

func TestReplacedAddressLeavesASessionItsOthers(t *testing.T) {
	c := newCluster(t, 2, ruleByName(registry.Replace))
	first, same, other := new(member), new(member), new(member)
	c.node(0).join("bob", first)
	c.node(0).join("room-1", first)
	c.node(0).join("room-1", same)
	c.node(1).join("room-1", other)
	c.node(1).join("bob", other)
	until(t, "the first session has lost its name", func() bool { return len(first.evictions()) > 0 })
	if !slices.Equal(first.evicted, []string{"bob"}) || first.reason != ErrReplaced {
		t.Errorf("evicted from %v (%v), want bob (%v)", first.evicted, first.reason, ErrReplaced)
	}
	c.node(0).wantOutcome("room-1", "1", Delivered)
	c.node(1).wantOutcome("bob", "2", Delivered)
	first.wantGot(t, "room-1")
	same.wantGot(t, "room-1")
	other.wantGot(t, "bob", "room-1")
	c.node(0).wantNotReplacing(0)
	if evicted := slices.Concat(same.evictions(), other.evictions()); len(evicted) > 0 {
		t.Errorf("others were evicted from %v", evicted)
	}
}

func TestRuleIsAskedPerAddress(t *testing.T) {
	c := newCluster(t, 2, ruleByName(registry.Reject))
	for i, want := range []error{nil, ErrDuplicate} {
		s := new(member)
		c.node(i).join("room-1", s)
		if err := c.node(i).Join(t.Context(), "bob", s); !errors.Is(err, want) {
			t.Errorf("session %d joins bob: %v, want %v", i, err, want)
		}
	}
	if owners := c.owners("room-1"); len(owners) != 2 {
		t.Errorf("owners of room-1: %v, want two", owners)
	}
}

// A node that takes another rule for the address than this one replaces nobody here.
func TestReplacementIsJudgedByTheAddressesRule(t *testing.T) {
	rule := ruleByName(registry.Replace)
	c := newCluster(t, 2, func(o *Options) {
		if rule(o); o.NodeID == "n1" {
			o.DuplicatesOf = nil
		}
	})
	first, other := new(member), new(member)
	c.node(0).join("room-1", first)
	c.node(1).join("room-1", other)
	if evicted := first.evictions(); len(evicted) > 0 {
		t.Errorf("evicted from %v", evicted)
	}
	c.node(0).wantNotReplacing(1)
}

func (n *testNode) wantNotReplacing(want float64) {
	n.t.Helper()
	if got := testutil.ToFloat64(n.drops[dropNotReplacing]); got != want {
		n.t.Errorf("%v replacements refused on %s, want %v", got, n.opts.NodeID, want)
	}
}

func TestSessionLeavesEachOfItsAddresses(t *testing.T) {
	c := newCluster(t, 2, nil)
	s := new(member)
	for _, address := range []string{"bob", "room-1", "room-2"} {
		c.node(0).join(address, s)
	}
	c.node(0).Leave("room-1", s)
	c.node(1).wantOutcome("room-1", "1", Offline)
	c.node(1).wantOutcome("room-2", "2", Delivered)
	c.node(0).Leave("room-2", s)
	c.node(0).Leave("bob", s)
	until(t, "nobody owns an address", func() bool { return len(c.owners("bob"))+len(c.owners("room-2")) == 0 })
	if n := c.node(0).local.sessions(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}
