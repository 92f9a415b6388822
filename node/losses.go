package node

import (
	"sync"

	"github.com/beeline-ws/beeline/router"
)

// maxLosses bounds the losses that wait to be reported. The senders of those beyond learn
// of them at their deadlines.
const maxLosses = 4096

// losses are messages that were dropped from a session's queue after they had been
// queued, and whose senders wait for a confirmation. The router may be calling the
// session that drops them and hold a lock, so it is told by a goroutine, which runs
// while there are any.
type losses struct {
	mu        sync.Mutex
	list      []loss
	reporting bool
}

type loss struct {
	client string // the receiver
	id     router.MessageID
}

func (l *losses) add(n *Node, lost loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) == maxLosses {
		return
	}
	l.list = append(l.list, lost)
	if !l.reporting {
		l.reporting = true
		n.leaving.Go(func() { l.report(n.router) })
	}
}

func (l *losses) report(r exchange) {
	for {
		l.mu.Lock()
		list := l.list
		l.list, l.reporting = nil, len(list) > 0
		l.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, lost := range list {
			r.Drop(lost.client, lost.id)
		}
	}
}
