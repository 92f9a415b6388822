package registry

import (
	"context"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// maxTags bounds the search for a hash tag on each master of a Cluster.
const maxTags = 1 << 14

// masters knows the Redis masters. Each has a tag that names its epoch: "0"
// outside Cluster, there the smallest number whose epoch key lies on it.
type masters struct {
	keys    Keys
	rdb     redis.UniversalClient
	cluster *redis.ClusterClient // nil outside Cluster

	mu   sync.Mutex
	tags map[string]string // by the master's network address, in Cluster
}

func newMasters(keys Keys, rdb redis.UniversalClient) *masters {
	cluster, _ := rdb.(*redis.ClusterClient)
	return &masters{keys: keys, rdb: rdb, cluster: cluster}
}

// each calls f with every master, in Cluster from several goroutines at once.
func (m *masters) each(ctx context.Context, f func(context.Context, redis.UniversalClient) error) error {
	if m.cluster == nil {
		return f(ctx, m.rdb)
	}
	return m.cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		return f(ctx, master)
	})
}

// holding returns the master that holds key.
func (m *masters) holding(ctx context.Context, key string) (redis.UniversalClient, error) {
	if m.cluster == nil {
		return m.rdb, nil
	}
	return m.cluster.MasterForKey(ctx, key)
}

// tag returns the tag of the master that holds key.
func (m *masters) tag(ctx context.Context, key string) (string, error) {
	if m.cluster == nil {
		return "0", nil
	}
	master, err := m.cluster.MasterForKey(ctx, key)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	tag, ok := m.tags[master.Options().Addr]
	m.mu.Unlock()
	if ok {
		return tag, nil
	}
	if _, err := m.find(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if tag, ok = m.tags[master.Options().Addr]; !ok {
		return "", errNoMaster
	}
	return tag, nil
}

// find looks afresh which masters there are and returns their tags.
func (m *masters) find(ctx context.Context) ([]string, error) {
	if m.cluster == nil {
		return []string{"0"}, nil
	}
	var mu sync.Mutex
	missing := make(map[string]bool)
	err := m.cluster.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		missing[master.Options().Addr] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(missing))
	var tags []string
	for i := 0; i < maxTags && len(missing) > 0; i++ {
		tag := strconv.Itoa(i)
		master, err := m.cluster.MasterForKey(ctx, m.keys.Epoch(tag))
		if err != nil {
			return nil, err
		}
		if addr := master.Options().Addr; missing[addr] {
			delete(missing, addr)
			found[addr] = tag
			tags = append(tags, tag)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tags = found
	return tags, nil
}
