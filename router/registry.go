package router

import (
	"context"
	"time"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/registry/redisconn"
)

// Registry is what a router needs of the registry. *registry.Registry is the real one, and
// says what each method promises; a simulation has another. Methods that take a context
// may wait for Redis, and are called without a lock; the others do not wait.
type Registry interface {
	// Start begins what the registry does in the background, and Stop ends it.
	Start(events registry.Events)
	Stop(ctx context.Context) error
	Keys() registry.Keys
	Timing() registry.Timing
	// OneMaster reports whether one Redis master has all addresses.
	OneMaster() bool

	// Whom addresses belong to.

	LookupAll(ctx context.Context, addresses []string) []registry.Answer
	ConfirmAbsent(ctx context.Context, address string) (bool, error)
	ClaimAsync(deadline time.Time, l *registry.Lease, address string, rule registry.Duplicates, claimed func(others []registry.Owner, err error))
	Withdraw(l *registry.Lease)
	Release(l *registry.Lease)
	Prune(ctx context.Context, address string, owners ...registry.Owner) error
	VerifyLeases()
	AllSettled() bool

	// Which nodes live.

	Beat(ctx context.Context, info registry.NodeInfo) error
	MissBeat()
	Node(ctx context.Context, id string) (info registry.NodeInfo, ok bool, err error)
	Nodes(ctx context.Context) ([]registry.NodeInfo, error)
	Leased(ctx context.Context, nodes []string) ([]bool, error)
	ConfirmDead(ctx context.Context, id string) (bool, error)
	ConfirmUnreceived(ctx context.Context, node string, since time.Time) (bool, error)
	RemoveNode(ctx context.Context, id string) error

	// What works and what does not.

	Trouble() error
	Disagreement() error
	Works(a redisconn.Activity)
	Failed(a redisconn.Activity, err error)
}

var _ Registry = (*registry.Registry)(nil)
