package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beeline-ws/beeline/registry/redisproc"
)

// calmTimeout is the silence after which a server of a Cluster, or a Sentinel's master,
// is taken for dead: so long that a machine that stands still does not reach it.
const calmTimeout = time.Minute

// What the tests of the process share, and prefixes for keys.
var (
	sharedServer = sync.OnceValues(func() (*redisproc.Server, error) {
		r, err := launchShared(func(ctx context.Context, dir string) (*redisproc.Server, error) { return redisproc.Start(ctx, dir) })
		if err != nil {
			return nil, err
		}
		atEnd(r.Kill)
		return r, r.AwaitUptime(context.Background())
	})
	sharedCluster = sync.OnceValues(func() (*redisproc.Cluster, error) {
		c, err := launchShared(func(ctx context.Context, dir string) (*redisproc.Cluster, error) {
			return redisproc.StartCluster(ctx, dir, calmTimeout)
		})
		if err != nil {
			return nil, err
		}
		atEnd(c.Kill)
		return c, awaitUptime(c)
	})
	prefixes atomic.Uint64
	ends     struct {
		sync.Mutex
		list []func()
	}
)

// launchShared starts something in a directory that is removed at the end.
func launchShared[T any](start func(ctx context.Context, dir string) (T, error)) (started T, err error) {
	dir, err := os.MkdirTemp("", "redistest-")
	if err != nil {
		return started, err
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	return start(context.Background(), dir)
}

func awaitUptime(c *redisproc.Cluster) error {
	for _, r := range c.Servers {
		if err := r.AwaitUptime(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

func atEnd(f func()) {
	ends.Lock()
	defer ends.Unlock()
	ends.list = append(ends.list, f)
}

// Main is a test binary's tests, as goleak.VerifyTestMain takes them too. Run ends the
// servers that they shared.
type Main struct{ *testing.M }

// Run runs the tests and returns their exit code.
func (m Main) Run() int {
	defer End()
	return m.M.Run()
}

// End ends the servers that the tests shared. It is for what runs tests several times;
// others run them by way of Main.
func End() {
	ends.Lock()
	defer ends.Unlock()
	for len(ends.list) > 0 {
		last := len(ends.list) - 1
		ends.list[last]()
		ends.list = ends.list[:last]
	}
}

func newPrefix() string { return fmt.Sprintf("test%d", prefixes.Add(1)) }

// started returns what a recipe has started, or ends the test.
func started[T any](t testing.TB, it T, err error) T {
	t.Helper()
	switch {
	case (errors.Is(err, redisproc.ErrNoRedis) || errors.Is(err, redisproc.ErrNoTLS)) && os.Getenv("CI") != "true":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	return it
}
