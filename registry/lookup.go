package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Lookup is an address's owners, on their way in a pipeline.
type Lookup struct{ cmd *redis.KeyValueSliceCmd }

// allOwners is a count of entries that no address has.
var allOwners any = 1 << 30

// QueueLookup adds the lookup of address to pipe. It is one command.
func (r *Registry) QueueLookup(pipe redis.Pipeliner, address string) Lookup {
	l := r.lookup(context.Background(), address)
	_ = pipe.Process(context.Background(), l.cmd)
	return l
}

// lookup asks for all entries in a form that go-redis makes no map of.
func (r *Registry) lookup(ctx context.Context, address string) Lookup {
	key := r.keys.Address(address)
	return Lookup{cmd: redis.NewKeyValueSliceCmd(ctx, "hrandfield", &key, allOwners, "withvalues")}
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
	for _, e := range entries {
		owners = append(owners, Owner{NodeID: e.Key, Token: e.Value})
	}
	slices.SortFunc(owners, func(a, b Owner) int { return strings.Compare(a.NodeID, b.NodeID) })
	return owners, nil
}

// Lookup returns the owners of address, as Lookup.Owners does.
func (r *Registry) Lookup(ctx context.Context, address string) ([]Owner, error) {
	l := r.lookup(ctx, address)
	_ = r.timed("lookup", func() error { return r.rdb.Process(ctx, l.cmd) })
	return l.Owners()
}
