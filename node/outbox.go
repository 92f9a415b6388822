package node

import (
	"sync"

	"github.com/gobwas/ws"
)

// outbox gathers the frames that wait to be written to one session, behind each
// other in one buffer, so that one write takes all. Without frames it has no
// buffer. Guarded by the session's mu.
type outbox struct {
	waiting *buffer // what no writer has taken
	taken   *buffer // what the writer is at; with a writing goroutine its content is that one's
	busy    bool    // a writer is at work, or about to be
}

// size is the number of bytes that are not written yet.
func (o *outbox) size() int { return o.waiting.size() + o.taken.size() }

// frame appends a frame's header for a payload of n bytes and returns the buffer
// to append the payload to.
func (o *outbox) frame(p *pools, op ws.OpCode, n int) *buffer {
	if o.waiting == nil {
		o.waiting = p.buffer()
	}
	o.waiting.b = appendHeader(o.waiting.b, op, n)
	return o.waiting
}

// take hands the writer what it has not finished, else what waits, else nil.
func (o *outbox) take() *buffer {
	if o.taken == nil {
		o.taken, o.waiting = o.waiting, nil
	}
	return o.taken
}

// precede puts b before what waits, for the first writer.
func (o *outbox) precede(p *pools, b *buffer) {
	if w := o.waiting; w != nil {
		b.b = append(b.b, w.b...)
		o.waiting = nil
		p.release(w)
	}
	o.taken = b
}

// buffer is a pooled slice.
type buffer struct {
	b       []byte
	written int // bytes that are done with
}

func (b *buffer) size() int {
	if b == nil {
		return 0
	}
	return len(b.b) - b.written
}

// maxPooled is the capacity up to which buffers are pooled, in bytes.
const maxPooled = 64 << 10

// pools are a node's reusable buffers.
type pools struct {
	heads, buffers, sends, frames *sync.Pool
}

func newPools(maxHead int) pools {
	return pools{
		heads:   &sync.Pool{New: func() any { return &buffer{b: make([]byte, maxHead)} }},
		buffers: &sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 512)} }},
		sends:   &sync.Pool{New: func() any { return newSending() }},
		frames:  &sync.Pool{New: func() any { return new(frames) }},
	}
}

func (p *pools) buffer() *buffer { return p.buffers.Get().(*buffer) }

func (p *pools) release(b *buffer) {
	if cap(b.b) <= maxPooled {
		b.b, b.written = b.b[:0], 0
		p.buffers.Put(b)
	}
}
