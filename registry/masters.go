package registry

import (
	"context"
	"strconv"
	"sync"

	"github.com/beeline-ws/beeline/registry/redisconn"
)

// maxTags bounds the search for a hash tag on each master of a Cluster.
const maxTags = 1 << 14

// masters knows the Redis masters. Each has a tag that names its epoch: "0"
// outside Cluster, there the smallest number whose epoch key lies on it.
type masters struct {
	keys  Keys
	redis *redisconn.Client

	mu   sync.Mutex
	tags map[string]string // by the master's network address, in Cluster
}

func newMasters(keys Keys, client *redisconn.Client) *masters {
	return &masters{keys: keys, redis: client}
}

// OneMaster reports whether one Redis master holds all addresses: there is no Cluster.
func (r *Registry) OneMaster() bool { return !r.redis.IsCluster() }

// tag returns the tag of the master that holds key.
func (m *masters) tag(ctx context.Context, key string) (string, error) {
	if !m.redis.IsCluster() {
		return "0", nil
	}
	addr, err := m.redis.MasterAddr(ctx, key)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	tag, ok := m.tags[addr]
	m.mu.Unlock()
	if ok {
		return tag, nil
	}
	if _, err := m.find(ctx); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if tag, ok = m.tags[addr]; !ok {
		return "", errNoMaster
	}
	return tag, nil
}

// find looks afresh which masters there are and returns their tags.
func (m *masters) find(ctx context.Context) ([]string, error) {
	if !m.redis.IsCluster() {
		return []string{"0"}, nil
	}
	addrs, err := m.redis.MasterAddrs(ctx)
	if err != nil {
		return nil, err
	}
	missing := make(map[string]bool, len(addrs))
	for _, addr := range addrs {
		missing[addr] = true
	}
	found := make(map[string]string, len(missing))
	var tags []string
	for i := 0; i < maxTags && len(missing) > 0; i++ {
		tag := strconv.Itoa(i)
		addr, err := m.redis.MasterAddr(ctx, m.keys.Epoch(tag))
		if err != nil {
			return nil, err
		}
		if missing[addr] {
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
