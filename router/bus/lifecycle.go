package bus

import (
	"context"
	"errors"
	"slices"
	"time"
)

// How connections that publish begin and end.

var (
	errSilent = errors.New("Redis does not reply to PUBLISH")
	errBroken = errors.New("the connection broke before the batch was written")
	errEnded  = errors.New("the bus has ended")
)

// startLocked runs f in a goroutine that Run awaits.
func (p *publisher) startLocked(f func()) {
	if !p.mu.ended {
		p.tasks.Go(f)
	}
}

// open begins to publish on conn, unless the bus has ended: then it closes conn. place is
// called with mu held before anybody publishes.
func (p *publisher) open(conn Conn, place func(*publishConn)) *publishConn {
	if p.o.Intercept != nil {
		conn = p.o.Intercept(conn)
	}
	c := newPublishConn(conn)
	p.mu.Lock()
	p.mu.conns = append(p.mu.conns, c)
	place(c)
	p.mu.blocked = time.Time{}
	switch {
	case p.mu.ended:
		p.dropLocked(c, errEnded)
	case !c.detached:
		p.startLocked(func() { p.readAll(c) })
	}
	p.mu.Unlock()
	p.Flush()
	return c
}

// dropLocked closes c. What was published on it and has no reply is lost. Whoever calls it sees
// to a flush, which tells the Source.
func (p *publisher) dropLocked(c *publishConn, why error) {
	if c.ended {
		return
	}
	p.closeLocked(c)
	c.ended, c.why, c.writing = true, why, false
	p.mu.conns = slices.DeleteFunc(p.mu.conns, func(x *publishConn) bool { return x == c })
	if len(p.mu.conns) == 0 {
		p.mu.blocked = time.Now()
	}
	p.loseLocked(c.sent[c.replied:], why)
	c.sent, c.replied = nil, 0
	close(c.over)
}

// closeLocked closes the connection of c. With TLS that may take seconds if Redis does not read,
// and so it is a task: whoever flushes waits for mu.
func (p *publisher) closeLocked(c *publishConn) {
	if c.detached || p.mu.ended {
		c.conn.Close()
		return
	}
	p.startLocked(func() { c.conn.Close() })
}

// loseLocked says that nobody will know what became of some batches.
func (p *publisher) loseLocked(unanswered []sentBatch, why error) {
	for _, b := range unanswered {
		p.mu.results = append(p.mu.results, Result{Tag: b.tag, Err: lostError{why}})
	}
}

// lostError is ErrLost with its cause.
type lostError struct{ cause error }

func (e lostError) Error() string        { return ErrLost.Error() + ": " + e.cause.Error() }
func (e lostError) Unwrap() error        { return e.cause }
func (e lostError) Is(target error) bool { return target == ErrLost }

// ResetPublishing makes a connection anew: see Bus.
func (p *publisher) ResetPublishing(channel string, why error) {
	p.mu.Lock()
	now := time.Now()
	if c := p.place.connLocked(channel); c != nil && now.Sub(p.mu.resets[c.server]) >= resetInterval {
		if len(p.mu.resets) >= maxServers {
			clear(p.mu.resets)
		}
		p.mu.resets[c.server] = now
		p.dropLocked(c, why)
	}
	p.mu.Unlock()
	p.Flush()
}

// Blocked returns for how long there is no connection: see Bus.
func (p *publisher) Blocked() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.blocked.IsZero() {
		return 0
	}
	return max(time.Since(p.mu.blocked), 1)
}

// end closes all connections, tells the Source, and waits for what was started.
func (p *publisher) end(ctx context.Context) {
	p.mu.Lock()
	p.timer.Stop()
	for _, c := range slices.Clone(p.mu.conns) {
		p.dropLocked(c, context.Cause(ctx))
	}
	p.mu.ended = true
	p.mu.Unlock()
	p.Flush()
	p.tasks.Wait()
}
