package registry

import (
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// limitedLogEvery is the shortest time between two lines of a limitedLog.
const limitedLogEvery = 10 * time.Second

// limitedLog writes a line at most every limitedLogEvery, and says how many it left out.
type limitedLog struct {
	mu struct {
		sync.Mutex
		last time.Time
		left int
	}
}

func (l *limitedLog) warn(to *slog.Logger, text string, args ...any) {
	l.mu.Lock()
	if !l.mu.last.IsZero() && time.Since(l.mu.last) < limitedLogEvery {
		l.mu.left++
		l.mu.Unlock()
		return
	}
	left := l.mu.left
	l.mu.last, l.mu.left = time.Now(), 0
	l.mu.Unlock()
	if left > 0 {
		args = append(args, "others_since_the_last_line", left)
	}
	to.Warn(text, args...)
}

// maxQuoted is the longest text from Redis that is shown, in bytes.
const maxQuoted = 100

// quoted makes what others wrote fit for a log line: short, and without what a terminal
// acts on.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
