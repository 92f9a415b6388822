package node

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"

	"github.com/beeline-ws/beeline/router"
)

// outboxModel is an outbox as a list of frames.
type outboxModel struct {
	outbox
	pools   pools
	t       *testing.T
	count   int
	waiting []modelFrame
	taken   []byte // what the writer is to write, as far as it has not
}

type modelFrame struct {
	bytes     []byte
	id        router.MessageID
	droppable bool
}

func (m *outboxModel) add(size int, droppable bool) {
	m.count++
	text := fmt.Appendf(nil, "%0*d", size, m.count)
	id := router.MessageID{Count: uint64(m.count)}
	b := m.frame(&m.pools, ws.OpText, size)
	b.b = append(b.b, text...)
	whole := append(appendHeader(nil, ws.OpText, size), text...)
	if droppable {
		m.mark(&router.Message{ID: id}, len(whole))
	}
	m.waiting = append(m.waiting, modelFrame{whole, id, droppable})
}

// write writes up to size bytes of what is taken.
func (m *outboxModel) write(size int) {
	b := m.next()
	if b == nil {
		if len(m.waiting) > 0 {
			m.t.Fatalf("%d frames wait, and there is nothing to take", len(m.waiting))
		}
		return
	}
	rest := b.b[b.written:]
	for len(m.taken) < len(rest) && len(m.waiting) > 0 {
		m.taken = append(m.taken, m.waiting[0].bytes...)
		m.waiting = m.waiting[1:]
	}
	if !bytes.Equal(rest, m.taken) {
		m.t.Fatalf("taken: %q\nwant: %q", rest, m.taken)
	}
	size = min(size, len(rest))
	b.written += size
	m.taken = m.taken[size:]
	if b.size() == 0 {
		m.outbox.taken = nil
		m.pools.release(b)
	}
}

func (m *outboxModel) dropOldest(size int) {
	if m.droppable() == 0 {
		return
	}
	var want, got []router.MessageID
	var kept []modelFrame
	freed := 0
	for _, f := range m.waiting {
		if freed < size && f.droppable {
			freed += len(f.bytes)
			want = append(want, f.id)
			continue
		}
		kept = append(kept, f)
	}
	m.waiting = kept
	if n := m.drop(&m.pools, size, func(k *mark) { got = append(got, k.id) }); n != freed {
		m.t.Fatalf("%d bytes are free, want %d", n, freed)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Fatalf("%v were dropped, want %v", got, want)
	}
}

func (m *outboxModel) check() {
	size, droppable := len(m.taken), 0
	for _, f := range m.waiting {
		size += len(f.bytes)
		if f.droppable {
			droppable += len(f.bytes)
		}
	}
	if m.size() != size || m.droppable() != droppable {
		m.t.Fatalf("%d bytes, %d of them to be dropped; want %d and %d", m.size(), m.droppable(), size, droppable)
	}
	m.checkRoom()
}

// checkRoom fails if the buffers have much more room than what waits needs: two
// neighbours fill a part, and no buffer is longer than the longest frame has made it.
func (m *outboxModel) checkRoom() {
	size, room := 0, 0
	for b := m.outbox.waiting; b != nil; b = b.next {
		size += len(b.b)
		room += cap(b.b)
		if b.next != nil && len(b.b)+len(b.next.b) <= m.pools.part {
			m.t.Fatalf("parts of %d and %d bytes are two, up to %d are one", len(b.b), len(b.next.b), m.pools.part)
		}
	}
	if longest := 2 * modelFrameSize; room > (2*size/m.pools.part+1)*longest {
		m.t.Fatalf("%d bytes wait in buffers with room for %d", size, room)
	}
}

// modelFrameSize is that of the longest frame's payload.
const modelFrameSize = 2000

// An outbox keeps frames whole and in order, whatever is dropped meanwhile, and in
// buffers that are not much longer.
func TestOutbox(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := &outboxModel{t: t, pools: newPools(&Options{MaxHead: 1, MaxQueue: 4 << 10})}
		for range 500 {
			switch r.IntN(8) {
			case 0, 1, 2, 3:
				m.add(20+r.IntN(300), r.IntN(3) > 0)
			case 4:
				m.add(modelFrameSize, r.IntN(2) > 0)
			case 5, 6:
				m.write(r.IntN(1500))
			case 7:
				m.dropOldest(1 + r.IntN(3000))
			}
			m.check()
		}
		for m.size() > 0 {
			m.write(1000)
			m.check()
		}
	}
}
