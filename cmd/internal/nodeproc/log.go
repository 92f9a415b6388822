package nodeproc

import (
	"bytes"
	"encoding/json"
	"sync"
)

// maxLog is how much of a node's log is kept.
const maxLog = 16 << 10

// nodeLog keeps the end of a node's log, and finds in it where the node serves.
type nodeLog struct {
	served             chan struct{} // closed once the fields below are set
	id, clients, admin string

	mu     sync.Mutex
	found  bool
	text   []byte
	unread int // where in text the line begins that is not whole yet
}

func newNodeLog() *nodeLog { return &nodeLog{served: make(chan struct{})} }

// Write takes a piece of the log; the oldest lines give way to it.
func (l *nodeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	for !l.found {
		end := bytes.IndexByte(l.text[l.unread:], '\n')
		if end < 0 {
			break
		}
		l.read(l.text[l.unread : l.unread+end])
		l.unread += end + 1
	}
	if extra := len(l.text) - maxLog; extra > 0 {
		l.text = append(l.text[:0], l.text[extra:]...)
		l.unread = max(l.unread-extra, 0)
	}
	return len(b), nil
}

func (l *nodeLog) read(line []byte) {
	var entry struct{ Msg, Node, Clients, Admin string }
	if json.Unmarshal(line, &entry) != nil || entry.Msg != "node serves" {
		return
	}
	l.id, l.clients, l.admin, l.found = entry.Node, entry.Clients, entry.Admin, true
	close(l.served)
}

func (l *nodeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
