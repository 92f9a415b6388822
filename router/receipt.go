package router

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/beeline-ws/beeline/registry"
	"github.com/beeline-ws/beeline/router/link"
)

// Most receipts are links' acknowledgements. Those that are not travel as an
// envelope of their own to the node that sent the message: a client's confirmation,
// and the news that a queued message was dropped.

// receiptPayload is such a receipt on its way. If the link's window is half full, or there is no
// room for the link, it is dropped, and the sender is told at the deadline what its node knows then.
type receiptPayload struct {
	id      MessageID
	outcome Outcome
	client  string // the message's receiver
}

// Append appends the envelope.
func (x *receiptPayload) Append(b []byte, _ *link.Frame) ([]byte, link.Kind) {
	return link.AppendReceipt(b, link.MessageID(x.id), byte(x.outcome), x.client), link.KindReceipt
}

func (x *receiptPayload) settle(*Router, registry.Owner, ackResult) {}

// Confirm is called when client, which has a session here, has acknowledged the message. The
// confirmation leaves with the next Flush. It changes nothing if the message was not for
// client, or has its outcome already.
func (r *Router) Confirm(client string, id MessageID) { r.report(client, id, Confirmed) }

// Drop is called when a session of client has dropped a message with Confirm from its queue,
// which had counted as delivered. The message is Overloaded, unless another node has it, too,
// or another session confirms it first.
func (r *Router) Drop(client string, id MessageID) {
	r.report(client, id, Overloaded)
	r.flush()
}

// report sends the outcome of a message to client to the node that sent the message.
func (r *Router) report(client string, id MessageID, o Outcome) {
	if id.Origin == r.origin {
		r.receipt(r.opts.NodeID, id, o, client)
		return
	}
	if node := r.origins.node(id.Origin); node != "" && !r.peers.isDead(node) {
		r.answerTo(node, &receiptPayload{id, o, client})
	}
}

// answerTo leaves half of the link's window to messages: clients that make up
// confirmations must not be able to fill it.
func (r *Router) answerTo(node string, x *receiptPayload) {
	p := r.peers.lockOrAdd(node)
	if p == nil {
		return
	}
	defer p.mu.Unlock()
	if p.link.Len() < link.MaxWindow/2 {
		p.pushLocked(r, r.now(), link.Frame{Payload: x})
	}
}

// origins says which nodes give their messages IDs of which origin: confirmations go there.
type origins struct {
	mu     sync.RWMutex
	byName map[uint64]string
}

// note notes which node gives its messages IDs of that origin. Nodes that are gone fall out
// when there are more than maxPeers.
func (t *origins) note(node string, origin uint64) {
	if t.node(origin) == node {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName == nil || len(t.byName) >= maxPeers {
		t.byName = make(map[uint64]string)
	}
	t.byName[origin] = strings.Clone(node)
}

func (t *origins) node(origin uint64) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[origin]
}

// forget removes a node.
func (t *origins) forget(node string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.byName, func(_ uint64, n string) bool { return n == node })
}

// awaitReceipt waits for the receipt of a message if somebody asked for it.
func (s *shard) awaitReceipt(p *pending) {
	if p.Receipt {
		s.receipts[p.ID] = p
	}
}

// receipt is called when a node reports the outcome of a message to client. The report that a
// message was dropped may come before the link's acknowledgement of that message; it counts
// when no other owner has the message or may still get it.
func (r *Router) receipt(node string, id MessageID, o Outcome, client string) {
	s := r.shards.of(client)
	s.lock()
	defer s.unlockAndNotify()
	p := s.receipts[id]
	if p == nil || p.To != client {
		return
	}
	if o == Overloaded && !slices.Contains(p.dropped, node) {
		p.dropped = append(p.dropped, strings.Clone(node))
	}
	switch {
	case o == Overloaded && (p.route != nil || !p.lost()): // another has it, or may get it
	case o == Overloaded || o == Confirmed:
		s.answer(p, o)
		if p.route == nil {
			p.conclude(s, o)
		}
	}
}
