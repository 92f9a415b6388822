package router

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/beeline-ws/beeline/router/task"
)

// A client may have many sessions on one node. A message is put into the queues of the
// first few at once, which decides what becomes of it. The others get it from a goroutine
// that goes round the clients, a slice of the work at a time, and lets others have the
// processor in between.

const (
	// maxFront is how many of a client's sessions are delivered to at once.
	maxFront = 16
	// sliceSessions and sliceMessages bound the sessions of one slice, and its messages
	// times its sessions.
	sliceSessions = 64
	sliceMessages = 512
	// maxPortions bounds the portions that wait for one client's sessions: each is for
	// another list of them, as they come and go.
	maxPortions = 64
	// portionOverhead is what a waiting message counts as beside its data, in bytes.
	portionOverhead = 256
)

// fanouts is what waits for the sessions behind the first ones of each client. Beyond the
// limit a message is Overloaded, and so it is where its receiver has as much of the room as
// is left to all others.
type fanouts struct {
	limit   int // bytes
	runtime task.Runtime
	gather  func(on bool)
	run     func(func(context.Context)) bool

	several atomic.Int32 // how many there are in of

	mu      sync.Mutex
	of      map[*localAddress]*fanout
	turns   []*fanout // whose messages wait, in the order in which they have their turns
	bytes   int
	running bool
}

func newFanouts(r *Router) *fanouts {
	return &fanouts{limit: r.opts.MaxPendingBytes, runtime: r.runtime, gather: r.opts.Gather, run: r.run, of: make(map[*localAddress]*fanout)}
}

// fanout is what waits for the sessions of one client. Its order lock is taken before the
// table's, and held while the first sessions are delivered to, so that none of a sender's
// messages passes another.
type fanout struct {
	address *localAddress

	order sync.Mutex
	front []Session // those that are delivered to at once, while anything waits

	// Guarded by the table's mu.
	users    int // who deliver
	portions []*portion
	bytes    int
}

// portion is messages for one list of sessions.
type portion struct {
	sessions []Session // those that have not got the messages
	messages []*Message
	bytes    int
	begun    bool
}

// deliver puts m into the queues of sessions, which are those of a. When it returns, one
// has it, or none takes it. Those behind the first ones may get it a little later.
func (t *fanouts) deliver(a *localAddress, sessions []Session, m *Message) ackResult {
	if len(sessions) <= maxFront && t.several.Load() == 0 {
		return deliverTo(sessions, m)
	}
	f := t.enter(a)
	defer t.leave(f)
	f.order.Lock()
	defer f.order.Unlock()
	waits, room := t.look(f, m)
	n := min(len(sessions), maxFront)
	if waits {
		n = leading(f.front, sessions)
	}
	if n < len(sessions) && !room {
		return ackOverloaded
	}
	made := deliverTo(sessions[:n], m)
	for ; made != ackDelivered && !waits && n < len(sessions); n++ {
		made = min(made, deliverTo(sessions[n:n+1], m)) // joining is the largest of the three
	}
	if made == ackDelivered && n < len(sessions) {
		if !waits {
			f.front = sessions[:n]
		}
		t.put(f, sessions[n:], m)
	}
	return made
}

// leading returns how many of the first sessions are among front. Sessions that leave do
// not change the order of the others, and those that come are the last.
func leading(front, sessions []Session) (n int) {
	for _, s := range front {
		if n < len(sessions) && sessions[n] == s {
			n++
		}
	}
	return n
}

func (t *fanouts) enter(a *localAddress) *fanout {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.of[a]
	if f == nil {
		f = &fanout{address: a}
		t.of[a] = f
		t.several.Add(1)
	}
	f.users++
	return f
}

func (t *fanouts) leave(f *fanout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.users--
	t.tidy(f)
}

// tidy forgets f when nothing waits and nobody delivers.
func (t *fanouts) tidy(f *fanout) {
	if f.users == 0 && len(f.portions) == 0 {
		delete(t.of, f.address)
		t.several.Add(-1)
	}
}

// look reports whether messages wait for sessions of f, and whether m may, too.
func (t *fanouts) look(f *fanout, m *Message) (waits, room bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room = f.bytes+len(m.Data)+portionOverhead <= t.limit-t.bytes && len(f.portions) < maxPortions
	return len(f.portions) > 0, room
}

// put has m wait for sessions.
func (t *fanouts) put(f *fanout, sessions []Session, m *Message) {
	waiting := *m
	waiting.From, waiting.To, waiting.Data, waiting.Ref = strings.Clone(m.From), strings.Clone(m.To), bytes.Clone(m.Data), nil
	size := len(m.Data) + portionOverhead
	t.mu.Lock()
	defer t.mu.Unlock()
	p := f.last()
	if p == nil || p.begun || len(p.messages) == sliceMessages || !sameList(p.sessions, sessions) {
		p = &portion{sessions: sessions}
		f.portions = append(f.portions, p)
	}
	p.messages = append(p.messages, &waiting)
	p.bytes += size
	f.bytes += size
	t.bytes += size
	if !slices.Contains(t.turns, f) {
		t.turns = append(t.turns, f)
	}
	if !t.running {
		t.running = t.run(t.work)
	}
}

// sameList reports whether two lists of a client's sessions, neither of them empty, are one.
// Nothing in a list is ever changed: a session that leaves makes a new one, and one that
// comes a longer one.
func sameList(a, b []Session) bool { return len(a) == len(b) && &a[0] == &b[0] }

func (f *fanout) last() *portion {
	if len(f.portions) == 0 {
		return nil
	}
	return f.portions[len(f.portions)-1]
}

// work delivers slices until nothing waits.
func (t *fanouts) work(ctx context.Context) {
	for t.slice() && t.runtime.Sleep(ctx, 0) == nil { // others run in between
	}
}

// slice delivers a slice of what waits for the client whose turn it is.
func (t *fanouts) slice() bool {
	t.mu.Lock()
	if len(t.turns) == 0 {
		t.running = false
		t.mu.Unlock()
		return false
	}
	f := t.turns[0]
	p := f.portions[0]
	p.begun = true
	n := min(len(p.sessions), sliceSessions, max(1, sliceMessages/len(p.messages)))
	t.mu.Unlock()

	t.gather(true)
	for _, s := range p.sessions[:n] {
		for _, m := range p.messages {
			s.Deliver(m) // its session counts what it does not take
		}
	}
	t.gather(false)

	t.mu.Lock()
	defer t.mu.Unlock()
	t.turns = append(slices.Delete(t.turns, 0, 1), f)
	if p.sessions = p.sessions[n:]; len(p.sessions) > 0 {
		return true
	}
	f.portions = slices.Delete(f.portions, 0, 1)
	f.bytes -= p.bytes
	t.bytes -= p.bytes
	if len(f.portions) == 0 {
		t.turns = t.turns[:len(t.turns)-1]
		t.tidy(f)
	}
	return true
}
