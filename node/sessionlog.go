package node

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sessionLog writes a line at level debug when a session opens and when it ends. It
// remembers when each began only if somebody reads that level: an idle session has no
// room for it.
type sessionLog struct {
	log *slog.Logger
	on  bool // static

	mu     sync.Mutex
	opened map[sessionID]time.Time
}

func newSessionLog(log *slog.Logger) *sessionLog {
	return &sessionLog{
		log: log, on: log.Enabled(context.Background(), slog.LevelDebug),
		opened: make(map[sessionID]time.Time),
	}
}

// open is called without the session's lock.
func (l *sessionLog) open(s *session) {
	if !l.on {
		return
	}
	l.mu.Lock()
	l.opened[s.id] = time.Now()
	l.mu.Unlock()
	s.mu.Lock()
	client := s.client // empty, if the client is still to say who it is
	s.mu.Unlock()
	l.log.Debug("session opened", "session", s.id, "client", client)
}

// end is called without the session's lock.
func (l *sessionLog) end(s *session, reason closeReason) {
	if !l.on {
		return
	}
	l.mu.Lock()
	opened := l.opened[s.id]
	delete(l.opened, s.id)
	l.mu.Unlock()
	l.log.Debug("session ended", "session", s.id, "client", s.client, "reason", reason.String(),
		"lasted", time.Since(opened).Round(time.Millisecond))
}
