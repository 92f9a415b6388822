package node

import (
	"sync"

	"github.com/gobwas/ws"
)

// outbox gathers the frames that wait to be written to one session, behind each
// other in one buffer, so that one write takes all. Without frames it has no
// buffer. Guarded by the session's mu.
type outbox struct {
	waiting *buffer
	writing int  // bytes that a writer took and has not written yet
	busy    bool // a writer is at work, or about to be
}

// size is the number of bytes that are not written yet.
func (o *outbox) size() int {
	if o.waiting == nil {
		return o.writing
	}
	return o.writing + len(o.waiting.b)
}

// frame appends a frame's header for a payload of n bytes and returns the buffer
// to append the payload to.
func (o *outbox) frame(p *pools, op ws.OpCode, n int) *buffer {
	if o.waiting == nil {
		o.waiting = p.buffer()
	}
	o.waiting.b = appendHeader(o.waiting.b, op, n)
	return o.waiting
}

// take hands what waits to the writer, or returns nil.
func (o *outbox) take() *buffer {
	b := o.waiting
	if b != nil {
		o.waiting, o.writing = nil, len(b.b)
	}
	return b
}

// buffer is a pooled slice.
type buffer struct{ b []byte }

// maxPooled is the capacity up to which buffers are pooled, in bytes.
const maxPooled = 64 << 10

// pools are a node's reusable buffers.
type pools struct {
	heads, buffers, sends *sync.Pool
}

func newPools(maxHead int) pools {
	return pools{
		heads:   &sync.Pool{New: func() any { return &buffer{make([]byte, maxHead)} }},
		buffers: &sync.Pool{New: func() any { return &buffer{make([]byte, 0, 1024)} }},
		sends:   &sync.Pool{New: func() any { return newSending() }},
	}
}

func (p *pools) buffer() *buffer { return p.buffers.Get().(*buffer) }

func (p *pools) release(b *buffer) {
	if cap(b.b) <= maxPooled {
		b.b = b.b[:0]
		p.buffers.Put(b)
	}
}
