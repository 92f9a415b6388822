package registry

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// refusals are the commands that Redis does not let this node give, or does not know: a
// user may have the rights for heartbeats and not for lookups, and only who looks up
// would notice. What is refused for another reason, heartbeats are, too.
type refusals struct {
	some atomic.Bool // there are some

	mu    sync.Mutex
	names map[string]time.Time // commands, and when they were refused last
}

// refusalCounts is how long a command counts as refused that nobody gives again.
const refusalCounts = 5 * time.Minute

// answered takes the answer to a command.
func (f *refusals) answered(r *Registry, cmd redis.Cmder, err error) {
	if err == nil {
		if f.some.Load() {
			f.taken(r, cmd.Name())
		}
		return
	}
	var answer redis.Error
	if cmd.Name() == "config" { // that is only asked for to help
		return
	}
	if !errors.As(err, &answer) || !strings.Contains(answer.Error(), "NOPERM") && !strings.Contains(answer.Error(), "unknown command") {
		return
	}
	f.mu.Lock()
	if f.names == nil {
		f.names = make(map[string]time.Time)
	}
	f.names[cmd.Name()] = time.Now()
	f.some.Store(true)
	f.mu.Unlock()
	r.Failed(Asking, fmt.Errorf("%s: %w", cmd.Name(), err))
}

// taken says that a command succeeds again.
func (f *refusals) taken(r *Registry, name string) {
	f.mu.Lock()
	delete(f.names, name)
	maps.DeleteFunc(f.names, func(_ string, last time.Time) bool { return time.Since(last) > refusalCounts })
	none := len(f.names) == 0
	f.some.Store(!none)
	f.mu.Unlock()
	if none {
		r.Works(Asking)
	}
}
