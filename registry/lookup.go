package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Lookup is an address's owners, on their way in a pipeline.
type Lookup struct{ cmd *redis.MapStringStringCmd }

// QueueLookup adds the lookup of address to pipe. It is one command.
func (r *Registry) QueueLookup(pipe redis.Pipeliner, address string) Lookup {
	return Lookup{cmd: pipe.HGetAll(context.Background(), r.keys.Address(address))}
}

// Owners returns what the lookup found once its pipeline was executed, in the
// order of node IDs. Dead nodes' entries may be among them. An empty answer
// proves that nobody owns the address only if Settled says so afterwards.
func (l Lookup) Owners() ([]Owner, error) {
	entries, err := l.cmd.Result()
	if err != nil {
		return nil, fmt.Errorf("look up owners: %w", err)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	owners := make([]Owner, 0, len(entries))
	for id, token := range entries {
		owners = append(owners, Owner{NodeID: id, Token: token})
	}
	slices.SortFunc(owners, func(a, b Owner) int { return strings.Compare(a.NodeID, b.NodeID) })
	return owners, nil
}

// Lookup returns the owners of address, as Lookup.Owners does.
func (r *Registry) Lookup(ctx context.Context, address string) ([]Owner, error) {
	var l Lookup
	_ = r.timed("lookup", func() error {
		l.cmd = r.rdb.HGetAll(ctx, r.keys.Address(address))
		return l.cmd.Err()
	})
	return l.Owners()
}
