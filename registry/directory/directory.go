package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/beeline-ws/beeline/registry"
)

// Registry is what the directory asks of the cluster; *registry.Registry is one.
type Registry interface {
	// Lookup returns an address's owners, of which some may be dead.
	Lookup(ctx context.Context, address string) ([]registry.Owner, error)
	// ConfirmAbsent reports whether an address that has no owner now can't have had one
	// before: after a loss of data that takes a while.
	ConfirmAbsent(ctx context.Context, address string) (bool, error)
	// Node returns what a live node says of itself.
	Node(ctx context.Context, id string) (registry.NodeInfo, bool, error)
	// Nodes returns the live nodes.
	Nodes(ctx context.Context) ([]registry.NodeInfo, error)
}

// Local is what the directory asks of the node that it is part of.
type Local interface {
	// Sessions returns the node's sessions that are members of an address.
	Sessions(address string) []Session
	// Disconnect closes the node's sessions that are members of an address, and returns
	// how many there were.
	Disconnect(address string) int
	// DisconnectSession closes a session of the node, if it has it.
	DisconnectSession(id string) bool
}

// Session is a connection of a client to the node that is asked.
type Session struct {
	ID       string
	Client   string
	Protocol string // its WebSocket subprotocol
}

// Entry is what is known of an address.
type Entry struct {
	Nodes    []registry.NodeInfo // live ones that own it
	Sessions []Session           // on the node that is asked
}

// Directory answers for a cluster and one node of it. Its methods are safe for concurrent
// use.
type Directory struct {
	registry Registry
	local    Local
}

// New returns a directory. local is nil where there is no node, as in a command.
func New(r Registry, local Local) *Directory { return &Directory{r, local} }

// ErrUnsettled says that the registry can't prove just now that nobody owns an address.
var ErrUnsettled = errors.New("the registry has lost data and its nodes have not claimed again yet; try again soon")

// ErrUnrecorded says that the cluster's delivery is one under which nobody records who is connected
// where.
var ErrUnrecorded = errors.New("this cluster keeps no record of who is connected where")

// unsettledRetry is how often a lookup that proved nothing is made again.
const unsettledRetry = 100 * time.Millisecond

// Lookup returns what is known of an address. That no node owns it is an answer only if
// the registry can prove it; until then it is asked again, and the error is ErrUnsettled if
// ctx ends before. In a cluster whose delivery is not
// targeted it is ErrUnrecorded. Without an
// error Nodes is not nil.
func (d *Directory) Lookup(ctx context.Context, address string) (Entry, error) {
	nodes, err := d.owners(ctx, address)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Nodes: nodes}
	if d.local != nil {
		e.Sessions = d.local.Sessions(address)
	}
	return e, nil
}

func (d *Directory) owners(ctx context.Context, address string) ([]registry.NodeInfo, error) {
	for {
		live, err := d.liveOwners(ctx, address)
		if err != nil || len(live) > 0 {
			return live, err
		}
		settled, err := d.registry.ConfirmAbsent(ctx, address)
		if err != nil {
			return nil, err
		}
		if settled {
			return live, d.checkRecorded(ctx)
		}
		select {
		case <-ctx.Done():
			return nil, ErrUnsettled
		case <-time.After(unsettledRetry):
		}
	}
}

// checkRecorded returns an error if there are nodes, and none of them claims the addresses of its
// sessions.
func (d *Directory) checkRecorded(ctx context.Context) error {
	nodes, err := d.registry.Nodes(ctx)
	if err != nil || len(nodes) == 0 {
		return err
	}
	for i := range nodes {
		if delivery := nodes[i].Settings.Delivery; delivery == recorded || delivery == "" { // of an older version
			return nil
		}
	}
	return fmt.Errorf("%w: its delivery is %q", ErrUnrecorded, nodes[0].Settings.Delivery)
}

// recorded is the delivery whose nodes claim the addresses of their sessions.
const recorded = "targeted"

func (d *Directory) liveOwners(ctx context.Context, address string) ([]registry.NodeInfo, error) {
	owners, err := d.registry.Lookup(ctx, address)
	if err != nil {
		return nil, err
	}
	live := make([]registry.NodeInfo, 0, len(owners))
	for _, owner := range owners {
		info, ok, err := d.registry.Node(ctx, owner.NodeID)
		if err != nil {
			return nil, err
		}
		if ok {
			live = append(live, info)
		}
	}
	return live, nil
}

// Nodes returns the live nodes.
func (d *Directory) Nodes(ctx context.Context) ([]registry.NodeInfo, error) {
	return d.registry.Nodes(ctx)
}

// Disconnect closes the sessions of an address on the node that is asked, and returns how
// many there were: none where there is no node.
func (d *Directory) Disconnect(address string) int {
	if d.local == nil {
		return 0
	}
	return d.local.Disconnect(address)
}

// DisconnectSession closes a session, if the node that is asked has it.
func (d *Directory) DisconnectSession(id string) bool {
	return d.local != nil && d.local.DisconnectSession(id)
}
