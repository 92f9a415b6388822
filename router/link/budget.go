package link

// Redis ends a subscription that lags behind by more than client-output-buffer-limit
// allows, 32 MB by default, and what was on its way is lost. Sent again as it was, it would
// end the subscription again, and hold up all that is for the same node. So what a link has
// published and the peer has not acknowledged has a budget in bytes, which a loss makes
// smaller; and a large frame, which travels alone, is not sent again once it was lost
// although Redis had a subscriber for it. In its place the peer gets word that it is withdrawn.
// If the peer has not had it, it refuses it as it does what finds no room in a queue, and
// else acknowledges it.

const (
	// maxBudget is how many bytes of data a link may have published that are not
	// acknowledged, minBudget what is left of it after losses: as many as are acknowledged
	// at once. Each loss leaves a quarter, each acknowledgement doubles it.
	maxBudget = 4 << 20
	minBudget = ackBytes
	// largeFrame is what a frame may have to travel with others, in bytes.
	largeFrame = 64 << 10
)

// mayPublish reports whether the link has a frame to publish, and the budget for it. One
// frame may always be on its way.
func (l *Link) mayPublish() bool {
	return l.next < l.window.end && (l.flying == 0 || l.flying < l.budget)
}

// fits reports whether the next frame may be in the batch that begins with first and has so
// many bytes.
func (l *Link) fits(size int, first uint64) bool {
	switch {
	case !l.mayPublish():
		return false
	case l.next == first: // whatever the header has
		return true
	}
	return size < min(MaxBatchBytes, l.budget) &&
		l.window.at(l.next).Size <= largeFrame && l.window.at(l.next-1).Size <= largeFrame
}

// counted notes that Redis had a subscriber for a large frame.
func (l *Link) counted(b *Batch) {
	if b.Count != 1 || b.first < l.window.base || b.first >= l.window.end {
		return
	}
	f := l.window.at(b.first)
	f.large = f.Size > largeFrame
}

// lose makes the budget smaller, and withdraws what is not to be published again.
func (l *Link) lose() {
	l.budget = max(l.budget/4, minBudget)
	for seq := l.window.base; seq < l.next; seq++ {
		f := l.window.at(seq)
		f.Withdrawn = f.Withdrawn || f.large
	}
}
