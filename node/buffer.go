package node

import "sync"

// buffer is a pooled slice.
type buffer struct {
	b       []byte
	written int // bytes that are done with
	part
}

func (b *buffer) size() int {
	if b == nil {
		return 0
	}
	return len(b.b) - b.written
}

// maxPooled is the capacity up to which buffers are pooled, in bytes, and maxMarks
// that of their marks.
const (
	maxPooled = 64 << 10
	maxMarks  = 512
)

// pools are a node's reusable buffers.
type pools struct {
	part int // bytes of a full part of a session's queue

	heads, buffers, sends, frames *sync.Pool
}

func newPools(o *Options) pools {
	return pools{
		part:    min(maxPooled/2, o.MaxQueue/4), // growing, a buffer may get twice as long
		heads:   &sync.Pool{New: func() any { return &buffer{b: make([]byte, o.MaxHead)} }},
		buffers: &sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, 512)} }},
		sends:   &sync.Pool{New: func() any { return newSending() }},
		frames:  &sync.Pool{New: func() any { return new(frames) }},
	}
}

func (p *pools) buffer() *buffer { return p.buffers.Get().(*buffer) }

func (p *pools) release(b *buffer) {
	if cap(b.b) > maxPooled {
		return
	}
	b.b, b.written = b.b[:0], 0
	b.part = part{marks: b.marks[:0]}
	if cap(b.marks) > maxMarks {
		b.marks = nil
	}
	p.buffers.Put(b)
}
