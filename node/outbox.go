package node

import (
	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// outbox gathers the frames that wait to be written to one session, behind each
// other in buffers, so that one write takes many. Without frames it has no
// buffer. Guarded by the session's mu.
type outbox struct {
	waiting *buffer // what no writer has taken: the first part of the queue
	taken   *buffer // what the writer is at; with a writing goroutine its content is that one's
	busy    bool    // a writer is at work, or about to be
	rank    uint8   // the session's place among the backlogs
	missed  uint32  // messages that the client is to be told it missed
}

// part is what a buffer is in an outbox: it has some of the frames that wait, in
// the order in which they are written.
type part struct {
	next      *buffer // the part behind it
	droppable int     // bytes of the frames in marks
	marks     []mark
	queue     queue // in the first part
}

// queue is what is known of all parts together.
type queue struct {
	last      *buffer
	size      int // bytes that wait
	droppable int // bytes of them that may be dropped
}

// mark is where a frame is that may be dropped.
type mark struct {
	from, to uint32 // in bytes of its buffer
	confirm  bool   // the sender waits to hear what became of it
	id       router.MessageID
}

// size is the number of bytes that are not written yet.
func (o *outbox) size() int {
	size := o.taken.size()
	if o.waiting != nil {
		size += o.waiting.queue.size
	}
	return size
}

// droppable is the number of bytes that drop can free.
func (o *outbox) droppable() int {
	if o.waiting == nil {
		return 0
	}
	return o.waiting.queue.droppable
}

// frame appends a frame's header for a payload of n bytes and returns the buffer
// to append the payload to. A part that is full is followed by another one, so
// that buffers can be pooled and a writer takes little at a time.
func (o *outbox) frame(p *pools, op ws.OpCode, n int) *buffer {
	size := frameSize(n)
	if o.waiting == nil {
		o.waiting = p.buffer()
		o.waiting.queue.last = o.waiting
	}
	q := &o.waiting.queue
	if b := q.last; len(b.b) > 0 && len(b.b)+size > p.part {
		q.last = p.buffer()
		b.next = q.last
	}
	q.size += size
	q.last.b = appendHeader(q.last.b, op, n)
	return q.last
}

// mark notes that the last frame, of size bytes, which is m, may be dropped while
// it waits.
func (o *outbox) mark(m *router.Message, size int) {
	q := &o.waiting.queue
	b := q.last
	b.marks = append(b.marks, mark{
		from: uint32(len(b.b) - size), to: uint32(len(b.b)), confirm: m.Confirm, id: m.ID,
	})
	b.droppable += size
	q.droppable += size
}

// next hands the writer what it has not finished, else the first part of what
// waits, else nil.
func (o *outbox) next() *buffer {
	b := o.waiting
	if o.taken != nil || b == nil {
		return o.taken
	}
	o.waiting = b.next
	if b.next != nil {
		q := b.queue
		b.next.queue = queue{q.last, q.size - len(b.b), q.droppable - b.droppable}
	}
	o.taken, b.part = b, part{marks: b.marks[:0]}
	return b
}

// drop takes out frames that may be dropped, the oldest first, until size bytes
// are free or there are none, and returns how many bytes are. each is called for every one.
func (o *outbox) drop(p *pools, size int, each func(*mark)) (freed int) {
	for b := o.waiting; b != nil && freed < size; b = b.next {
		freed += b.drop(size-freed, each)
	}
	o.waiting.queue.size -= freed
	o.waiting.queue.droppable -= freed
	o.unite(p)
	return freed
}

// unite makes one part of neighbours that fit into one: what is left of many parts
// must not keep the room of all of them.
func (o *outbox) unite(p *pools) {
	first := o.waiting
	last := first
	for b := last.next; b != nil; b = last.next {
		if len(last.b) > 0 && len(b.b) > 0 && len(last.b)+len(b.b) > p.part {
			last = b
			continue
		}
		last.absorb(b)
		last.next = b.next
		p.release(b)
	}
	first.queue.last = last
	if len(first.b) == 0 {
		o.waiting = nil
		p.release(first)
	}
}

// absorb takes all frames of other, the part behind b.
func (b *buffer) absorb(other *buffer) {
	shift := uint32(len(b.b))
	if shift == 0 { // then other may be long
		b.b, other.b = other.b, b.b
	}
	b.b = append(b.b, other.b...)
	for _, m := range other.marks {
		b.marks = append(b.marks, mark{m.from + shift, m.to + shift, m.confirm, m.id})
	}
	b.droppable += other.droppable
}

// drop is outbox.drop for one part.
func (b *buffer) drop(size int, each func(*mark)) (freed int) {
	n, end, at := 0, 0, 0 // of the marks; of what is kept; of what is still to be looked at
	for ; n < len(b.marks) && freed < size; n++ {
		m := &b.marks[n]
		end += copy(b.b[end:], b.b[at:m.from])
		at = int(m.to)
		freed += int(m.to - m.from)
		each(m)
	}
	if n == 0 {
		return 0
	}
	end += copy(b.b[end:], b.b[at:])
	b.b = b.b[:end]
	b.marks = b.marks[:copy(b.marks, b.marks[n:])]
	for i := range b.marks {
		b.marks[i].from -= uint32(freed)
		b.marks[i].to -= uint32(freed)
	}
	b.droppable -= freed
	return freed
}

// precede puts b before what waits, for the first writer.
func (o *outbox) precede(b *buffer) { o.taken = b }

// lead puts a frame before what waits, whose size it returns.
func (o *outbox) lead(p *pools, op ws.OpCode, payload []byte) (size int) {
	behind := o.waiting
	o.waiting = nil
	b := o.frame(p, op, len(payload))
	b.b = append(b.b, payload...)
	if behind != nil {
		q := behind.queue
		behind.queue = queue{}
		b.next, b.queue = behind, queue{q.last, q.size + len(b.b), q.droppable}
	}
	return len(b.b)
}

// discard throws away what no writer has taken, and returns its bytes.
func (o *outbox) discard(p *pools) (size int) {
	if o.waiting != nil {
		size = o.waiting.queue.size
	}
	for b := o.waiting; b != nil; {
		next := b.next
		p.release(b)
		b = next
	}
	o.waiting, o.missed = nil, 0
	return size
}
