package node

import (
	"log/slog"
	"sync"
	"time"
)

// repeatedEvery is how often the same trouble is logged at most.
const repeatedEvery = time.Minute

// repeated is a trouble that may come many times a second. It is logged at once, and
// while it goes on once a minute, with how often it came since.
type repeated struct {
	mu     sync.Mutex
	logged time.Time
	since  int
}

func (r *repeated) log(log *slog.Logger, message string, err error) {
	if since, ok := r.due(time.Now()); ok {
		log.Error(message, "error", err, "unlogged", since)
	}
}

// due reports whether a trouble at now is to be logged, and how many before were not.
func (r *repeated) due(now time.Time) (since int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.logged.IsZero() && now.Sub(r.logged) < repeatedEvery {
		r.since++
		return 0, false
	}
	since = r.since
	r.logged, r.since = now, 0
	return since, true
}
