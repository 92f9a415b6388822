//go:build unix

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// Silences after which servers find out that another one is gone.
const (
	sentinelDownAfter  = time.Second
	clusterNodeTimeout = time.Second
)

// backing is the Redis of a site. Only the site's lane for Redis touches the
// servers, only a link's own lane the link.
type backing struct {
	single   *redisproc.Server
	links    []*redisproc.Proxy // one for each node
	sentinel *redisproc.Sentinel
	cluster  *redisproc.Cluster
}

// startBacking starts a site's Redis, which works in dir.
func startBacking(ctx context.Context, form Form, dir string, nodes int) (_ *backing, err error) {
	dir = filepath.Join(dir, "redis")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b := &backing{}
	defer func() {
		if err != nil {
			b.kill()
		}
	}()
	switch form {
	case Sentinels:
		b.sentinel, err = redisproc.StartSentinel(ctx, dir, sentinelDownAfter)
		return b, err
	case Clustered:
		b.cluster, err = redisproc.StartReplicatedCluster(ctx, dir, clusterNodeTimeout)
		return b, err
	}
	if b.single, err = redisproc.Start(ctx, dir); err != nil {
		return nil, err
	}
	for range nodes {
		if form != Linked {
			break
		}
		link, err := redisproc.StartProxy(b.single.Addr)
		if err != nil {
			return nil, fmt.Errorf("start a link: %w", err)
		}
		b.links = append(b.links, link)
	}
	return b, nil
}

// url is how node i reaches Redis.
func (b *backing) url(i int) string {
	switch {
	case b.sentinel != nil:
		return b.sentinel.URL
	case b.cluster != nil:
		return b.cluster.URL
	case len(b.links) > 0:
		return "redis://" + b.links[i].Addr
	}
	return b.single.URL
}

// mend brings back what a fault has left broken.
func (b *backing) mend(ctx context.Context) error {
	switch {
	case b.sentinel != nil:
		return b.sentinel.Mend(ctx)
	case b.cluster != nil:
		return b.cluster.Mend(ctx)
	}
	if b.single.Ended() {
		return b.single.Restart(ctx)
	}
	return nil
}

func (b *backing) kill() {
	for _, link := range b.links {
		link.Close()
	}
	if b.sentinel != nil {
		b.sentinel.Kill()
	}
	if b.cluster != nil {
		b.cluster.Kill()
	}
	if b.single != nil {
		b.single.Kill()
	}
}
