package router

import "github.com/beeline-ws/beeline/router/link"

// Redis ends a subscription that lags behind by more than client-output-buffer-limit
// allows, 32 MB by default, and what was on its way is lost. Sent again as it was, it would
// end the subscription again, and hold up all that is for the same node. So what a link has
// published and the peer has not acknowledged has a budget in bytes, which a loss makes
// smaller; and a large message, which travels alone, is not sent again once it was lost
// although Redis had a subscriber for it. In its place the peer gets word that it is withdrawn.
// If the peer has not had it, it refuses it as it does what finds no room in a queue, and
// else acknowledges it.

const (
	// maxBudget is how many bytes of data a link may have published that are not
	// acknowledged, minBudget what is left of it after losses: as many as are acknowledged
	// at once. Each loss leaves a quarter, each acknowledgement doubles it.
	maxBudget = 4 << 20
	minBudget = ackBytes
	// largeMessage is what a message may have to travel with others, in bytes.
	largeMessage = 64 << 10
)

// mayPublish tells whether the link has something to publish, and the budget for it. One
// item may always be on its way.
func (l *peer) mayPublish() bool {
	return l.next < l.end() && (l.flying == 0 || l.flying < l.budget)
}

// fits tells whether the next item may be in the batch that begins with first and has so
// many bytes.
func (l *peer) fits(size int, first uint64) bool {
	switch {
	case !l.mayPublish():
		return false
	case l.next == first: // whatever the header has
		return true
	}
	return size < min(maxBatchBytes, l.budget) &&
		l.window[l.next-l.base].size <= largeMessage && l.window[l.next-1-l.base].size <= largeMessage
}

// counted notes that Redis had a subscriber for a large message.
func (l *peer) counted(b *batch) {
	if b.count != 1 || b.first < l.base || b.first >= l.end() {
		return
	}
	it := &l.window[b.first-l.base]
	it.counted = it.size > largeMessage
}

// lost makes the budget smaller, and withdraws what is not to be published again.
func (l *peer) lost() {
	l.budget = max(l.budget/4, minBudget)
	for i := range l.window[:l.next-l.base] {
		it := &l.window[i]
		it.withdrawn = it.withdrawn || it.counted
	}
}

// rewind has what is not acknowledged published again.
func (l *peer) rewind() { l.next, l.flying = l.base, 0 }

// encode appends what travels of the item.
func (it *item) encode(b []byte) []byte {
	if p, ok := it.cargo.(*pending); ok && it.kind() == link.KindWithdrawn {
		return link.AppendWithdrawn(b, link.MessageID(p.ID))
	}
	return it.cargo.encode(b, it.first)
}

func (it *item) kind() link.Kind {
	if k := it.cargo.kind(); k != link.KindMessage || !it.withdrawn {
		return k
	}
	return link.KindWithdrawn
}
