package baseline

import (
	"strings"
	"time"

	"github.com/beeline-ws/beeline/router"
)

const (
	// maxReplyBytes bounds the receipts that wait to be published. One beyond is dropped, and
	// its sender hears at the deadline what its node knows then.
	maxReplyBytes = 4 << 20
	// maxOrigins bounds the nodes that are remembered for confirmations. Beyond it all are
	// forgotten, and confirmations of messages that came before are dropped.
	maxOrigins = 1 << 12
)

// replies is what waits to be told to other nodes.
type replies struct {
	of      map[string]*answers // by node
	bytes   int
	origins map[uint64]string // which node gives its messages IDs of that origin
}

// answers are receipts for one node.
type answers struct {
	frames []byte
	count  int
}

func newReplies() replies {
	return replies{of: make(map[string]*answers), origins: make(map[uint64]string)}
}

func (l *replies) empty() bool { return l.bytes == 0 }

// add queues a receipt for a node, whose name is copied.
func (l *replies) add(node string, x *receipt) {
	if l.bytes >= maxReplyBytes {
		return
	}
	a := l.of[node]
	if a == nil {
		a = new(answers)
		l.of[strings.Clone(node)] = a
	}
	before := len(a.frames)
	a.frames = x.append(a.frames)
	a.count++
	l.bytes += len(a.frames) - before
}

// take returns what waits, and nothing waits any more.
func (l *replies) take() (of map[string]*answers) {
	if l.empty() {
		return nil
	}
	of, l.of, l.bytes = l.of, make(map[string]*answers), 0
	return of
}

// cameFrom notes where confirmations of messages of that origin go. The node's name is copied.
func (l *replies) cameFrom(node string, origin uint64) {
	if l.origins[origin] == node {
		return
	}
	if len(l.origins) >= maxOrigins {
		clear(l.origins)
	}
	l.origins[origin] = strings.Clone(node)
}

// Confirm takes the word of client, that has a session here, that it has received the message.
// It leaves with the next Flush. A word about a message that was not for client, or that has its
// outcome already, changes nothing.
func (r *Router) Confirm(client string, id router.MessageID) {
	r.report(client, id, router.Confirmed)
}

// Drop takes back that a message with Confirm was delivered: the session of client that it was
// queued to has dropped it. Its outcome is Overloaded, unless another node has it, too, or another
// session confirms it first.
func (r *Router) Drop(client string, id router.MessageID) {
	r.report(client, id, router.Overloaded)
	r.Flush()
}

// report tells the node that sent a message to client what became of it.
func (r *Router) report(client string, id router.MessageID, o router.Outcome) {
	x := receipt{id.Count, o, client}
	if id.Origin == r.origin {
		r.take(&x)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if node := r.mu.replies.origins[id.Origin]; node != "" {
		r.mu.replies.add(node, &x)
	}
}

// answer tells the sender's node what became of a message that came from there.
func (r *Router) answer(node string, a *arrival, o router.Outcome) {
	x := receipt{a.ID.Count, o, a.To}
	if a.ID.Origin == r.origin {
		r.take(&x)
		return
	}
	r.mu.Lock()
	r.mu.replies.add(node, &x)
	r.mu.Unlock()
}

// take takes a node's answer to a message of this one. Where a confirmation is awaited,
// Delivered is no outcome before the deadline.
func (r *Router) take(x *receipt) {
	var told []outcome
	now := time.Now()
	r.mu.Lock()
	if s := r.mu.waiting[x.count]; s != nil && s.To == x.client {
		told = r.answeredLocked(s, x.outcome, now)
	}
	r.mu.Unlock()
	r.tell(told)
}

func (r *Router) answeredLocked(s *sent, o router.Outcome, now time.Time) []outcome {
	switch {
	case o == router.Confirmed && !s.Confirm: // a client makes it up
		return nil
	case o == router.Delivered && s.Confirm:
		s.reached++
		return nil
	case o == router.Overloaded && s.Confirm:
		if s.dropped++; !s.lost() {
			return nil
		}
	}
	if o == router.Overloaded {
		r.counts.overloaded(overloadQueue)
	}
	return r.endLocked(nil, s, o, now)
}
