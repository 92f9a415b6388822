package node

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// handshakes are the connections on their way to the welcome. They are bounded
// in number and time, and can be ended.
type handshakes struct {
	ctx     context.Context // ends when no more are wanted
	cancel  context.CancelFunc
	slots   chan struct{}
	running sync.WaitGroup
	full    atomic.Int64 // since when all slots are taken and somebody waits, in Unix ns; 0: there is one

	hurried time.Time // when others were last hurried; owned by the goroutine that accepts

	mu    sync.Mutex
	heads map[net.Conn]time.Time // until when whose head is awaited; nil once stopped
}

func (h *handshakes) init(limit int) {
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.slots = make(chan struct{}, limit)
	h.heads = map[net.Conn]time.Time{}
}

// hurryEvery is how often those that keep others waiting are hurried while no slot is free.
const hurryEvery = 100 * time.Millisecond

// acquire waits for a slot, and returns false once stopped. While there is none, it has
// hurry end the wait for heads and first messages that are late. Only the goroutine that accepts calls it.
func (h *handshakes) acquire(hurry func()) bool {
	select {
	case h.slots <- struct{}{}:
		return h.ctx.Err() == nil
	default:
	}
	h.full.Store(time.Now().UnixNano())
	defer h.full.Store(0)
	for {
		wait := time.Until(h.hurried.Add(hurryEvery))
		if wait <= 0 {
			hurry()
			h.hurried, wait = time.Now(), hurryEvery
		}
		select {
		case h.slots <- struct{}{}:
			return h.ctx.Err() == nil
		case <-time.After(wait):
		case <-h.ctx.Done():
			return false
		}
	}
}

// hasty is how long a head may take while no slot is free, of a handshake that may take so
// long, and under a protocol whose client speaks first, its head and first message together.
// A client that sends none keeps others waiting.
func hasty(handshake time.Duration) time.Duration { return min(time.Second, handshake/5) }

// acquireUntil waits for a slot until deadline.
func (h *handshakes) acquireUntil(deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return true
	case <-timer.C:
	case <-h.ctx.Done():
	}
	return false
}

// maxFull is how long all slots may be taken on end while a node counts as ready.
const maxFull = 5 * time.Second

// health says why no newcomer is served, or returns nil.
func (h *handshakes) health() error {
	since := h.full.Load()
	if since == 0 || time.Since(time.Unix(0, since)) < maxFull {
		return nil
	}
	return fmt.Errorf("no handshake slot has been free for %v: %d connections are on their way to the welcome", maxFull, cap(h.slots))
}

func (h *handshakes) free() { <-h.slots }

// pause waits for d, or until stopped.
func (h *handshakes) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-h.ctx.Done():
	}
}

// start runs f in a goroutine of its own.
func (h *handshakes) start(f func()) { h.running.Go(f) }

// enter lets a handshake begin, unless the node stops. Until headRead it is cut
// short when the node stops.
func (h *handshakes) enter(conn net.Conn, deadline time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.countLocked() {
		return false
	}
	conn.SetDeadline(deadline)
	h.heads[conn] = deadline
	return true
}

// hurry ends the wait for heads that should come before end.
func (h *handshakes) hurry(end time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for conn, deadline := range h.heads {
		if deadline.Before(end) {
			conn.SetReadDeadline(time.Now())
		}
	}
}

// begin is enter for a connection that somebody else cuts short.
func (h *handshakes) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.countLocked()
}

func (h *handshakes) countLocked() bool {
	if h.heads == nil {
		return false
	}
	h.running.Add(1)
	return true
}

// headRead says that conn is not to be touched any more: it is on its way to a
// session. If it was hurried just then, it has its time again, to notice whether its
// client goes.
func (h *handshakes) headRead(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if deadline, ok := h.heads[conn]; ok {
		conn.SetReadDeadline(deadline)
		delete(h.heads, conn)
	}
}

// leave ends a handshake that entered.
func (h *handshakes) leave() { h.running.Done() }

// stop ends what is under way. A client whose head is awaited is refused.
func (h *handshakes) stop() {
	h.cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	for conn := range h.heads {
		conn.SetReadDeadline(time.Now())
	}
	h.heads = nil
}
