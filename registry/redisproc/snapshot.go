package redisproc

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Snapshot returns the server's data, as RestartFrom takes them.
func (r *Server) Snapshot(ctx context.Context) ([]byte, error) {
	if _, err := r.Do(ctx, "SAVE"); err != nil {
		return nil, err
	}
	return os.ReadFile(r.snapshotFile())
}

// RestartFrom is Restart with a Snapshot's data. It returns when they are loaded;
// with a delay for each key loading takes as long as the caller needs.
func (r *Server) RestartFrom(ctx context.Context, snapshot []byte, delay time.Duration) error {
	r.Kill()
	if err := os.WriteFile(r.snapshotFile(), snapshot, 0o600); err != nil {
		return err
	}
	return r.startAgain(ctx, "--key-load-delay", strconv.FormatInt(delay.Microseconds(), 10),
		"--loading-process-events-interval-bytes", "1024")
}

func (r *Server) snapshotFile() string { return filepath.Join(r.dir, "dump.rdb") }

// FailSaves makes the server's attempts to save fail from now on, as a full disk
// would, and returns when one has failed. The server loses its directory by that.
func (r *Server) FailSaves(ctx context.Context) error {
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	if _, err := r.Do(ctx, "BGSAVE"); err != nil {
		return err
	}
	return r.Await(ctx, "a save has failed", func(ctx context.Context, c *redis.Client) bool {
		return infoContains(ctx, c, "persistence", "rdb_last_bgsave_status:err")
	})
}
